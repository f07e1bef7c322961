"""What this project leans on in other packages, which have not promised it.

An upgrade that takes it away fails here, with a list. These are names with an underscore, modules
below the face of a package, and options that a function takes out of a config, which
:mod:`mmattn.probe.config_check` copies.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from mmattn.compat import TORCH

ROOT = Path(__file__).parents[1]
PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'timm', 'pickle')

# Name -> the rooms of mmattn, or tools, that use it.
NAMES = {
    'atexit._run_exitfuncs': 'cli',
    'mmcv.cnn.bricks.DropPath': 'backbones deploy',
    'mmcv.cnn.bricks.plugin.infer_abbr': 'attention',
    'mmdet.models.dense_heads.SSDHead': 'heads',
    'mmdet.models.dense_heads.anchor_head.AnchorHead': 'heads',
    'mmdet.models.dense_heads.base_dense_head.BaseDenseHead._predict_by_feat_single': 'deploy',
    'mmdet.models.dense_heads.rpn_head.RPNHead._bbox_post_process': 'deploy',
    'mmdet.models.dense_heads.rpn_head.RPNHead._predict_by_feat_single': 'deploy',
    'mmdet.models.roi_heads.bbox_heads.bbox_head.BBoxHead._predict_by_feat_single': 'deploy',
    'mmdet.models.roi_heads.mask_heads.fcn_mask_head.FCNMaskHead._predict_by_feat_single': 'deploy',
    'mmdet.models.roi_heads.roi_extractors.SingleRoIExtractor.map_roi_levels': 'deploy',
    'mmdet.evaluation.CocoMetric._coco_api': 'engine',
    'mmengine.config.Config._get_cfg_path': 'engine',
    'mmengine.hooks.CheckpointHook._init_rule': 'engine',
    'mmengine.hooks.CheckpointHook._save_best_checkpoint': 'engine',
    'mmengine.logging.HistoryBuffer._count_history': 'weights',
    'mmengine.logging.HistoryBuffer._log_history': 'weights',
    'mmengine.model.BaseModule._dump_init_info': 'insertion',
    'mmengine.model.BaseModule._is_init': 'insertion',
    'mmengine.model.BaseModule._params_init_info': 'insertion',
    'mmengine.model.ImgDataPreprocessor._channel_conversion': 'deploy inspection',
    'mmengine.model.ImgDataPreprocessor._enable_normalize': 'deploy inspection',
    'mmengine.model.weight_init.update_init_info': 'insertion',
    'mmengine.registry.DefaultScope.overwrite_default_scope': 'probe',
    'mmengine.registry.Registry.import_from_location': 'probe',
    'mmengine.registry.Registry.switch_scope_and_registry': 'attention probe',
    'mmengine.optim.scheduler.param_scheduler._ParamScheduler': 'engine',
    'mmengine.optim.scheduler.param_scheduler._ParamScheduler._last_value': 'engine',
    'mmengine.runner.EpochBasedTrainLoop._max_epochs': 'engine',
    'mmengine.runner.IterBasedTrainLoop._decide_current_val_interval': 'engine',
    'mmengine.runner.IterBasedTrainLoop._iter': 'engine',
    'mmengine.runner.IterBasedTrainLoop._max_iters': 'engine',
    'mmengine.runner.Runner._has_loaded': 'engine',
    'mmengine.runner.Runner._init_model_weights': 'engine',
    'mmengine.runner.Runner._load_from': 'engine',
    'mmengine.runner.Runner._resume': 'engine',
    'mmengine.runner.Runner._test_dataloader': 'engine',
    'mmengine.runner.Runner._train_dataloader': 'engine',
    'mmengine.runner.Runner._train_loop': 'engine',
    'mmengine.runner.Runner._val_dataloader': 'engine',
    'mmengine.runner.checkpoint.CheckpointLoader': 'weights',
    'mmengine.runner.checkpoint.CheckpointLoader._schemes': 'weights',
    'mmengine.runner.checkpoint._get_mmengine_home': 'weights',
    'mmengine.runner.checkpoint._process_mmcls_checkpoint': 'weights',
    'mmengine.runner.checkpoint.get_deprecated_model_names': 'weights',
    'mmengine.runner.checkpoint.get_external_models': 'weights',
    'mmengine.runner.checkpoint.get_mmcls_models': 'weights',
    'mmengine.runner.checkpoint.get_torchvision_models': 'weights',
    'mmseg.models.decode_heads.ASPPHead': 'heads',
    'pickle._Unpickler': 'weights',
    'pickle._Unpickler.dispatch': 'weights',
    'torch._C': 'ops',
    'torch._C._functorch': 'ops',
    'torch._C._functorch.is_functorch_wrapped_tensor': 'ops',
    'torch._dynamo.decorators.assume_constant_result._dynamo_marked_constant': 'compat',
    'torch._dynamo.eval_frame.OptimizedModule._orig_mod': 'inspection',
    'torch._foreach_norm': 'engine',
    'torch._inductor.aoti_compile_and_package': 'deploy',
    'torch._inductor.aoti_load_package': 'deploy',
    'torch._utils': 'compat weights',
    'torch._utils.is_compiling': 'compat',
    'torch.autograd.function.once_differentiable': 'backbones',
    'torch.cuda._get_nvml_device_index': 'compat',
    'torch.cuda._raw_device_uuid_nvml': 'compat',
    'torch.distributed.constants.default_pg_nccl_timeout': 'compat',
    'torch.distributed.constants.default_pg_timeout': 'compat',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._exit_barrier': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._exit_barrier_timeout': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._initialize_workers': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._pcontext': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._start_workers': 'tools',
    'torch.distributed.elastic.agent.server.local_elastic_agent.LocalElasticAgent'
    '._worker_group': 'tools',
    'torch.distributed.elastic.multiprocessing.SignalException': 'tools',
    'torch.distributed.elastic.multiprocessing.errors.ChildFailedError': 'tools',
    'torch.distributed.elastic.multiprocessing.errors.ProcessFailure': 'tools',
    'torch.distributed.elastic.rendezvous.rendezvous_handler_registry': 'tools',
    'torch.distributed.elastic.rendezvous.static_tcp_rendezvous.StaticTCPRendezvous': 'tools',
    'torch.distributed.elastic.rendezvous.static_tcp_rendezvous.StaticTCPRendezvous'
    '._store': 'tools',
    'torch.distributed.launcher.api.LocalElasticAgent': 'tools',
    'torch.distributed.run.parse_args': 'tools',
    'torch.distributed.run.parse_min_max_nnodes': 'tools',
    'torch.distributed.run.run': 'tools',
    'torch.nn.Module._buffers': 'ops weights',
    'torch.nn.Module._backward_hooks': 'ops',
    'torch.nn.Module._backward_pre_hooks': 'ops',
    'torch.nn.Module._forward_hooks': 'ops',
    'torch.nn.Module._forward_pre_hooks': 'ops',
    'torch.nn.Module._load_from_state_dict': 'attention backbones fusion insertion layers necks',
    'torch.nn.Module._modules': 'deploy insertion ops',
    'torch.nn.Module._non_persistent_buffers_set': 'weights',
    'torch.nn.Module._register_load_state_dict_pre_hook': 'compat',
    'torch.nn.Module._parameters': 'ops weights',
    'torch.nn.Module.state_dict._metadata': 'weights',
    'torch.nn.modules.batchnorm.SyncBatchNorm': 'launch',
    'torch.nn.modules.batchnorm._BatchNorm': 'attention backbones layers ops testing',
    'torch.nn.Conv2d._conv_forward': 'layers',
    'torch.nn.modules.conv._ConvNd': 'layers ops probe',
    'torch.nn.modules.instancenorm._InstanceNorm': 'deploy ops',
    'torch.nn.modules.module.register_module_module_registration_hook': 'insertion',
    'torch.ops.mkldnn._is_mkldnn_bf16_supported': 'ops',
    'torch.nn.modules.conv._ConvTransposeNd': 'layers',
    'torch.nn.modules.dropout._DropoutNd': 'deploy',
    'torch.nn.utils.parametrize': 'layers',
    'torch.overrides.TorchFunctionMode': 'probe',
    'torch._ops.OpOverload._schema': 'probe',
    'torch.ops.aten._softmax_backward_data': 'ops',
    'torch.multiprocessing.reductions.StorageWeakRef': 'probe',
    'torch.storage.UntypedStorage._cdata': 'probe',
    'torch.utils._python_dispatch.TorchDispatchMode': 'deploy probe',
}

# Names that came with a version of PyTorch, and are asked for from then on.
SINCE = {
    'torch._inductor.aoti_compile_and_package': (2, 6),
    'torch._inductor.aoti_load_package': (2, 6),
    'torch.distributed.constants.default_pg_nccl_timeout': (2, 2),
}

# Options that a function takes out of a config before it builds, or adds: probe.config_check
# has them, too.
TAKEN_OUT = {
    'mmcv.cnn.build_norm_layer': 'requires_grad',
    'mmengine.model.initialize': 'override',
    'mmengine.model.weight_init._initialize_override': 'name',
    'mmengine.optim.build_optim_wrapper': 'constructor paramwise_cfg',
    'mmengine.registry.build_functions.build_from_cfg': 'type _scope_',
    'mmengine.registry.build_functions.build_scheduler_from_cfg': (
        'convert_to_iter_based epoch_length'
    ),
    'mmengine.runner.Runner.build_dataloader': (
        'dataset sampler batch_sampler collate_fn worker_init_fn num_batch_per_epoch '
        'disable_subprocess_warning'
    ),
    'mmengine.runner.Runner.build_evaluator': 'metrics',
    'mmengine.runner.Runner.build_visualizer': 'name save_dir',
    'mmengine.runner.Runner.register_hook': 'priority',
    'mmengine.visualization.Visualizer.__init__': 'save_dir',
}

# Modules three names deep that the documentation of PyTorch names.
FACES = {
    'torch.distributed.device_mesh',
    'torch.distributed.fsdp',
    'torch.distributed.tensor',
    'torch.nn.functional',
    'torch.nn.parallel',
    'torch.utils.checkpoint',
    'torch.utils.data',
    'torch.utils.hooks',
}
# Underscores that are no secret: of Python, of mmcv's plug-ins, of named tuples.
PUBLIC = {'_exit', '_abbr_', '_asdict', '_replace'}

FILES = {
    path: ast.parse(path.read_text())
    for folder in ('mmattn', 'tools')
    for path in sorted((ROOT / folder).rglob('*.py'))
}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1].removesuffix('.py') if parts[0] == 'mmattn' else 'tools'


def find(name: str) -> object:
    """Find what a dotted name stands for; attributes that are set later are looked for as text.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If there is no such name in it.
    """
    parts = name.split('.')
    found, length = None, len(parts)
    while found is None:
        length -= 1
        try:
            found = importlib.import_module('.'.join(parts[: length + 1]))
        except ModuleNotFoundError:
            if length == 0:
                raise
    for part in parts[length + 1 :]:
        if inspect.isroutine(found) or (inspect.isclass(found) and not hasattr(found, part)):
            holders = found.__mro__[:-1] if inspect.isclass(found) else [found]
            sets = re.compile(rf'\.{part}\b|[\'"]{part}[\'"]')
            if any(sets.search(inspect.getsource(holder)) for holder in holders):
                return None
        found = getattr(found, part)
    return found


def is_there(name: str) -> bool:
    try:
        find(name)
    except (ImportError, AttributeError):
        return False
    return True


def private_names(tree: ast.Module, defined: set[str]) -> Iterator[str]:
    """Give the private names and deep modules of other packages that a file uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split('.')[0] in PACKAGES:
            is_deep = node.module.count('.') >= 2 and node.module not in FACES
            for alias in node.names:
                if is_deep or alias.name.startswith('_') or '._' in node.module:
                    yield f'{node.module}.{alias.name}'
        elif isinstance(node, ast.Attribute) and re.match('_[a-zA-Z]', node.attr):
            is_super = isinstance(node.value, ast.Call) and ast.unparse(node.value) == 'super()'
            is_ours = node.attr in defined and not is_super
            if not is_ours and node.attr not in PUBLIC:
                yield node.attr


def defined_in(tree: ast.Module) -> set[str]:
    """Give the names that a file defines or assigns."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) in ('self', 'cls') else set()
    return names


def test_all_that_is_leant_on_is_there():
    gone = [
        f'{name}, used by {users}'
        for name, users in NAMES.items()
        if SINCE.get(name, TORCH) <= TORCH and not is_there(name)
    ]
    for function, options in TAKEN_OUT.items():
        source = inspect.getsource(find(function)) if is_there(function) else ''
        gone += [
            f'{option!r} in {function}, used by probe'
            for option in options.split()
            if not re.search(rf'\b{option}\b', source)
        ]
    assert not gone, '\n'.join(['changed upstream:', *gone])


def test_the_table_has_all_that_is_used():
    used = {
        (name.split('.')[-1], room(path))
        for path, tree in FILES.items()
        for name in private_names(tree, defined_in(tree))
    }
    listed = {
        (name.split('.')[-1], user) for name, users in NAMES.items() for user in users.split()
    }
    assert sorted(used - listed) == []


def test_the_table_has_nothing_that_is_no_longer_used():
    texts = {}
    for path in FILES:
        texts[room(path)] = texts.get(room(path), '') + path.read_text()
    idle = [
        (name, user)
        for name, users in NAMES.items()
        for user in users.split()
        if not re.search(rf'\b{name.split(".")[-1]}\b', texts[user])
    ]
    assert idle == []


def test_a_name_that_is_gone_is_noticed():
    assert is_there('torch.nn.Module._buffers')
    assert not is_there('torch.nn.Module._no_such')
    assert not is_there('torch.no_such._thing')
    tree = ast.parse('from torch._dynamo import optimize\nmodel._modules\nself._own = 1; self._own')
    assert list(private_names(tree, defined_in(tree))) == ['torch._dynamo.optimize', '_modules']
