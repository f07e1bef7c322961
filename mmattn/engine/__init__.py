"""What trains: a runner that loses nothing, and what it is made of."""
