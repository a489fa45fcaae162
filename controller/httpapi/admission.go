package httpapi

import "dvr/controller/gate"

// newHosts are the names that the node's API answers to beside loopback.
func newHosts(more []string) *gate.Hosts {
	return gate.NewHosts("this node answers to loopback and its advertised names; set API_ADVERTISE to be reached by another", more...)
}
