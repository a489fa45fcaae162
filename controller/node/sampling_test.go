package node

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	dto "github.com/prometheus/client_model/go"
)

// So many lines of one level and text are written within a second, whichever
// logger of the node writes them; then every hundredth; what is left out is counted.
func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := newSampling(core, 0)
		log := zap.New(s.core())
		part := log.Named("part").With(zap.String("peer", "node-2"))
		write := func(n int) int {
			for i := range n {
				[]*zap.Logger{log, part}[i%2].Warn("again")
			}
			log.Debug("below the level")
			return len(logs.TakeAll())
		}
		dropped := func() int {
			var m dto.Metric
			if err := s.dropped.Write(&m); err != nil {
				t.Fatal(err)
			}
			return int(m.GetCounter().GetValue())
		}
		if n := write(500); n != 500 || dropped() != 0 {
			t.Errorf("%d of 500 lines where all are wanted, %d dropped", n, dropped())
		}
		s.set(5)
		if n := write(205); n != 7 || dropped() != 198 {
			t.Errorf("%d lines, %d dropped, want 5 and two of the hundredths", n, dropped())
		}
		log.Warn("another")
		log.Error("again")
		if n := len(logs.TakeAll()); n != 2 {
			t.Errorf("%d of lines with another text or level", n)
		}
		time.Sleep(samplingPeriod)
		if n := write(5); n != 5 {
			t.Errorf("%d lines in the next second", n)
		}
		s.set(1)
		part.Warn("again")
		if all := logs.TakeAll(); len(all) != 1 || all[0].ContextMap()["peer"] != "node-2" || all[0].LoggerName != "part" {
			t.Errorf("after the change: %v", all)
		}
		s.set(0)
		if n := write(50); n != 50 {
			t.Errorf("%d of 50 lines where all are wanted again", n)
		}
	})
}
