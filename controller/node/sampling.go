package node

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// sampling says how many log lines of one level and text are written within a
// second before every hundredth; it may be changed while the node runs. Safe for
// concurrent use.
type sampling struct {
	root    zapcore.Core
	current atomic.Pointer[sampler]
	dropped prometheus.Counter
}

// sampler is what holds until the next change: it counts for all loggers together.
type sampler struct {
	first int64
	core  zapcore.Core
}

const (
	samplingPeriod     = time.Second
	samplingThereafter = 100
	samplingMost       = 1 << 20
)

// newSampling samples what is written to root; 0: all of it is.
func newSampling(root zapcore.Core, first int64) *sampling {
	s := &sampling{root: root, dropped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "dvr_log_lines_dropped_total", Help: "Lines of the node's log that sampling left out.",
	})}
	s.set(first)
	return s
}

// first is how many are written; 0: all.
func (s *sampling) first() int64 { return s.current.Load().first }

// set changes how many are written; what was counted before is forgotten.
func (s *sampling) set(first int64) {
	now := &sampler{first: first, core: s.root}
	if first > 0 {
		now.core = zapcore.NewSamplerWithOptions(s.root, samplingPeriod, int(first), samplingThereafter,
			zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
				if d&zapcore.LogDropped != 0 {
					s.dropped.Inc()
				}
			}))
	}
	s.current.Store(now)
}

// core is the core of a logger that is sampled.
func (s *sampling) core() zapcore.Core { return &sampled{by: s} }

// sampled is a core whose fields are put before each line of the sampling's present one.
type sampled struct {
	by     *sampling
	fields []zap.Field
	cache  atomic.Pointer[derived]
}

// derived is a sampler's core with the fields.
type derived struct {
	of   *sampler
	core zapcore.Core
}

func (c *sampled) present() zapcore.Core {
	of := c.by.current.Load()
	d := c.cache.Load()
	if d == nil || d.of != of {
		d = &derived{of, of.core}
		if len(c.fields) > 0 {
			d.core = of.core.With(c.fields)
		}
		c.cache.Store(d) // of two at once either will do
	}
	return d.core
}

// Enabled implements zapcore.Core.
func (c *sampled) Enabled(l zapcore.Level) bool { return c.by.root.Enabled(l) }

// With implements zapcore.Core.
func (c *sampled) With(fields []zap.Field) zapcore.Core {
	return &sampled{by: c.by, fields: slices.Concat(c.fields, fields)}
}

// Check implements zapcore.Core.
func (c *sampled) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.present().Check(e, to)
}

// Write implements zapcore.Core, for who writes without a Check.
func (c *sampled) Write(e zapcore.Entry, fields []zap.Field) error {
	return c.present().Write(e, fields)
}

// Sync implements zapcore.Core.
func (c *sampled) Sync() error { return c.by.root.Sync() }
