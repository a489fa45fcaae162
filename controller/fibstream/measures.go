package fibstream

import "github.com/prometheus/client_golang/prometheus"

// measures are of deltas, over all data planes of this controller: one series
// each, however many there are.
type measures struct {
	ack    prometheus.Histogram
	differ prometheus.Counter
	full   prometheus.Counter
	undone prometheus.Counter
	// waiting is how many sessions wait for their turn.
	waiting prometheus.Gauge
}

func newMeasures() measures {
	return measures{
		ack: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dvr_dataplane_ack_seconds", Help: "Time from when a delta was begun to be sent until its data plane has acknowledged it.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		differ: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dvr_dataplane_digest_mismatches_total", Help: "Times that a connected data plane was found to hold something else than it was sent.",
		}),
		undone: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dvr_dataplane_undone_total", Help: "Unconfirmed commits that data planes have undone by themselves, cut off from every controller, as they reported when they were back.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dvr_dataplane_tables_waiting", Help: "Connected data planes that wait for their turn to be sent a full table.",
		}),
		full: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dvr_dataplane_reconciled_total", Help: "Full tables that were sent for that reason.",
		}),
	}
}

// Collectors are what the server measures of what it sends.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.measures.ack, s.measures.differ, s.measures.full, s.measures.undone, s.measures.waiting}
}
