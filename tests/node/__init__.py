"""One node without a container runtime: pods of chosen namespaces run as processes of this machine.

It does what a kubelet does as far as admission webhooks and controllers can tell: it binds pods,
mounts Secrets (and again when they change), ConfigMaps, tokens and empty directories, runs the
container's arguments with the image's entry point, as another user, on a read-only root, without
privileges; probes it, writes the pod's status, ends it with its grace period, and deletes the pod.
Real controllers do the rest: Deployments roll, EndpointSlices follow, budgets hold up evictions.

What differs from a cluster: all pods share one network namespace and have addresses of their own in
it, so the address to listen on comes from the environment; there is no kube-proxy, so the API
server goes to endpoints directly; NetworkPolicies and resource limits do nothing; the image is this
project's virtual environment.
"""
