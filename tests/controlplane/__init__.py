"""A real Kubernetes control plane for the end-to-end tests, and for `make cluster`.

::

    binaries.py   kube-apiserver, kube-controller-manager, etcd and kubectl: found, or built once
    toolchain.py  the Go release that builds them from the module in build/
    pki.py        certificates and the service account key of one cluster
    commands.py   how each component is set up
    processes.py  starts and stops one component; guard.py ends what a killed parent leaves behind
    kubectl.py    runs kubectl and turns its failures into exceptions that say why
    cluster.py    ControlPlane: all of the above as one context manager
    fixtures.py   the pytest fixtures `control_plane` and `namespace`
    __main__.py   a control plane in the foreground, or around another command

There is no scheduler and no kubelet: Pods are created, admitted and stay Pending.
"""
