package eventlog

import (
	"fmt"
	"net/netip"
	"testing"
)

// benchRoutes are n routes as an import of a full table gives them.
func benchRoutes(n int) []Event {
	events := make([]Event, n)
	for i := range events {
		r := route("10.0.0.0/24", fmt.Sprintf("192.168.1.%d", 1+i%64), uint32(i%100))
		r.Destination = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		events[i] = r
	}
	return events
}

func benchBatch(b *testing.B, commits, events int) []byte {
	builder := NewBatchBuilder(Head{Epoch: 1}, "node-1")
	all := benchRoutes(events)
	for i := range commits {
		c := Commit{ID: fmt.Sprintf("import-7/%d", i), Time: sampleTime, Actor: "alice", Request: RequestHash{1}, Events: all}
		if err := builder.Add(&c); err != nil {
			b.Fatal(err)
		}
	}
	raw, _ := builder.Finish()
	return raw
}

func perEvent(b *testing.B, events int) {
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mevents/s")
}

// BenchmarkDecodeImport decodes batches of an import, chain hash included.
func BenchmarkDecodeImport(b *testing.B) {
	raw := benchBatch(b, 2, 1000)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.DecodeBatch(raw); err != nil {
			b.Fatal(err)
		}
	}
	perEvent(b, 2000)
}

// BenchmarkDecodeSingles decodes a batch of one-route commits.
func BenchmarkDecodeSingles(b *testing.B) {
	raw := benchBatch(b, 1000, 1)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.DecodeBatch(raw); err != nil {
			b.Fatal(err)
		}
	}
	perEvent(b, 1000)
}

func BenchmarkAppendEvent(b *testing.B) {
	events := benchRoutes(1000)
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEventLines(buf[:0], events)
	}
	perEvent(b, 1000)
}

// BenchmarkBuildSingles builds batches of one-route commits, chain hash included.
func BenchmarkBuildSingles(b *testing.B) {
	events := benchRoutes(1000)
	builder := NewBatchBuilder(Head{Epoch: 1}, "node-1")
	c := Commit{ID: "01J0000000000000000000000", Time: sampleTime, Actor: "alice", Request: RequestHash{1}}
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset(Head{Epoch: 1}, "node-1")
		for i := range events {
			c.Events = events[i : i+1]
			if err := builder.Add(&c); err != nil {
				b.Fatal(err)
			}
		}
		builder.Finish()
	}
	perEvent(b, 1000)
}

func BenchmarkValidateCommit(b *testing.B) {
	c := Commit{ID: "import-7/1", Time: sampleTime, Actor: "alice", Events: benchRoutes(1000)}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Validate(); err != nil {
			b.Fatal(err)
		}
	}
	perEvent(b, 1000)
}

// BenchmarkHash is what a proof costs before anything is delivered; compare
// with BenchmarkDecodeImport and BenchmarkDecodeSingles.
func BenchmarkHash(b *testing.B) {
	for name, c := range map[string][2]int{"import": {2, 1000}, "singles": {1000, 1}} {
		b.Run(name, func(b *testing.B) {
			raw := benchBatch(b, c[0], c[1])
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, _, err := HashBatch(raw); err != nil {
					b.Fatal(err)
				}
			}
			perEvent(b, c[0]*c[1])
		})
	}
}
