package node

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"dvr/controller/settings"
)

// logging is what may be changed of the node's log while it runs.
type logging struct {
	level  zap.AtomicLevel
	sample *sampling
}

// newLogger writes JSON or lines for people, to out or standard error, of a
// level and a sampling that may be changed.
func newLogger(s *settings.Settings, out io.Writer) (*zap.Logger, *logging, error) {
	at, err := logLevel(s.LogLevel)
	if err != nil {
		return nil, nil, fmt.Errorf("LOG_LEVEL: %w", err)
	}
	level := zap.NewAtomicLevelAt(at)
	if out == nil {
		out = os.Stderr
	}
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if s.LogFormat == "json" {
		c.TimeKey = "time"
		encoder = zapcore.NewJSONEncoder(c)
	} else {
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	}
	sample := newSampling(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level), s.LogSample)
	return zap.New(sample.core()), &logging{level, sample}, nil
}

// sparing is log for what anybody who reaches a port can have written: of entries
// with one text the first few of half a minute, then every thousandth.
func sparing(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, 30*time.Second, 5, 1000)
	}))
}
