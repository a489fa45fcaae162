package node

import (
	"context"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/fibstream"
	"dvr/controller/settings"
	"dvr/controller/tracing"
	"dvr/eventlog"
)

// untracedEvery is how often at most the log says that spans are not sent.
const untracedEvery = time.Minute

// newTracer is the node's, as the settings want it; nil: tracing is off.
func newTracer(ctx context.Context, s *settings.Settings, version string, log *zap.Logger) (*tracing.Tracer, error) {
	if s.Trace.Endpoint == "" {
		return nil, nil
	}
	seldom := log.Named("tracing").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, untracedEvery, 1, 0)
	}))
	return tracing.New(ctx, tracing.Options{
		Endpoint: s.Trace.Endpoint, Ratio: s.Trace.Ratio, Node: s.NodeID, Version: version,
		OnError: func(err error) { seldom.Warn("traces are lost", zap.Error(err)) },
	})
}

// followed is what the appender tells of commits of others; nil: tracing is off.
func followed(t *tracing.Tracer) func(epoch uint64, first, last eventlog.Revision, began, ended time.Time) {
	if !t.On() {
		return nil
	}
	return t.Folded
}

// delivered is what the FIB server tells of deltas; nil: tracing is off.
func delivered(t *tracing.Tracer) func(fibstream.Delivery) string {
	if !t.On() {
		return nil
	}
	return t.Delivered
}
