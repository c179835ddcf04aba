module homeostat.dev/tests/cluster/gateway

go 1.26.0

// Definitions of routes, for tests of what looks at them. Nothing of it is built.

require sigs.k8s.io/gateway-api v1.4.1
