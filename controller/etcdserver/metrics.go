package etcdserver

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Metrics are what the etcd in this process counts of itself, as it names them
// (etcd_…); what etcd calls debugging is left out.
func Metrics() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := prometheus.DefaultGatherer.Gather() // where etcd registers, whoever starts it
		own := all[:0]
		for _, f := range all {
			if name := f.GetName(); strings.HasPrefix(name, "etcd_") && !strings.HasPrefix(name, "etcd_debugging_") {
				own = append(own, f)
			}
		}
		return own, err
	})
}
