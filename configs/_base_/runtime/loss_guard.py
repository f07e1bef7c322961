# The one place that lets every config stop when its losses stay NaN or infinite. It stands among
# the default hooks, since a config that lists custom hooks replaces the list.
default_hooks = dict(loss_guard=dict(type='NonFiniteLossGuard', action='skip', max_skips=10))
