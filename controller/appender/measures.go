package appender

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// measures are of batches, never of single requests.
type measures struct {
	build, store, answer prometheus.Observer
	commits, bytes       prometheus.Histogram
	phases               *prometheus.HistogramVec
}

func newMeasures() measures {
	m := measures{
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dvr_append_seconds",
			Help:    "Time of a batch in each phase: build (judged and folded, from its first commit until it leaves), store (until the log has acknowledged it), answer (until all callers are told).",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"phase"}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dvr_batch_commits", Help: "Commits in a batch that this node appended.", Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}),
		bytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dvr_batch_bytes", Help: "Bytes of a batch that this node appended.", Buckets: prometheus.ExponentialBuckets(256, 4, 8),
		}),
	}
	m.build, m.store, m.answer = m.phases.WithLabelValues("build"), m.phases.WithLabelValues("store"), m.phases.WithLabelValues("answer")
	return m
}

// stored takes in a batch that the log has acknowledged at landed, with the trace
// of one of its commits where there is one.
func (m *measures) stored(b *batch, bytes int, landed time.Time, trace string) {
	observe(m.build, b.left.Sub(b.began), trace)
	observe(m.store, landed.Sub(b.left), trace)
	m.commits.Observe(float64(len(b.items)))
	m.bytes.Observe(float64(bytes))
}

// observe observes d, with the trace as its exemplar where there is one.
func observe(o prometheus.Observer, d time.Duration, trace string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && trace != "" {
		e.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	o.Observe(d.Seconds())
}

// Collectors are what the appender measures of the batches that it appends.
func (a *Appender) Collectors() []prometheus.Collector {
	return []prometheus.Collector{a.measures.phases, a.measures.commits, a.measures.bytes}
}
