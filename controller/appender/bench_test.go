package appender

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dvr/eventlog/memlog"
)

// slow is a memlog whose append takes as long as a small transaction of etcd.
func slow(put time.Duration) *memlog.Log {
	log := newLog()
	if put > 0 {
		log.Faults().BeforeAppend(func(context.Context) error {
			for end := time.Now().Add(put); time.Now().Before(end); {
			}
			return nil
		})
	}
	return log
}

func benchmarkCallers(b *testing.B, callers int, put time.Duration) {
	a := open(b, slow(put), Options{})
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for {
				i := n.Add(1)
				if i > int64(b.N) {
					return
				}
				if _, err := a.Append(context.Background(), request("", route(int(i)))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(b.N)/float64(max(1, a.Statistics().Batches)), "commits/batch")
}

func BenchmarkOneCaller(b *testing.B)           { benchmarkCallers(b, 1, 0) }
func BenchmarkThousandCallers(b *testing.B)     { benchmarkCallers(b, 1000, 0) }
func BenchmarkThousandCallersSlow(b *testing.B) { benchmarkCallers(b, 1000, 50*time.Microsecond) }
