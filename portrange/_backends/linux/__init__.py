"""Linux: settings from sysctl files, sockets from sock_diag, owners from procfs by way of the socket's cgroup."""
