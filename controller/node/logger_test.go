package node

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestSparing: of a flood of one text little is written, of others nothing is lost.
func TestSparing(t *testing.T) {
	core, seen := observer.New(zapcore.InfoLevel)
	log := sparing(zap.New(core).Named("tls"))
	for i := range 2000 {
		log.Warn("a connection was refused", zap.Int("from", i))
	}
	log.Warn("the certificates were read again")
	if n := seen.FilterMessage("a connection was refused").Len(); n < 5 || n > 10 {
		t.Errorf("%d entries of 2000", n)
	}
	if seen.FilterMessage("the certificates were read again").Len() != 1 {
		t.Error("another text is lost")
	}
}
