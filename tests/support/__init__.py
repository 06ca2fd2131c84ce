"""What tests share: a daemon of their own, host namespaces, base images, the leak check."""
