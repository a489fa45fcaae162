package appender

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestMeasures: each batch counts once in every phase, with all of its commits
// and bytes, and what was folded is counted over a start anew, too.
func TestMeasures(t *testing.T) {
	log := newLog()
	a := open(t, log, Options{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(a.Collectors()...)
	const n = 20
	for i := range n {
		appendOK(t, a, request(id(i), route(i)))
	}
	s := a.Statistics()
	if err := a.Close(); err != nil { // so that the last is told of
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts, sums := map[string]uint64{}, map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			counts[name], sums[name] = m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
		}
	}
	for _, name := range []string{"dvr_append_seconds build", "dvr_append_seconds store", "dvr_append_seconds answer", "dvr_batch_commits", "dvr_batch_bytes"} {
		if counts[name] != uint64(s.Batches) {
			t.Errorf("%s: %d of %d batches", name, counts[name], s.Batches)
		}
		if strings.Contains(name, "seconds") && (sums[name] < 0 || sums[name] > 3600) {
			t.Errorf("%s took %v s", name, sums[name])
		}
	}
	if sums["dvr_batch_commits"] != float64(s.Commits) || sums["dvr_batch_bytes"] != float64(s.Bytes) {
		t.Errorf("%v commits, %v bytes of %+v", sums["dvr_batch_commits"], sums["dvr_batch_bytes"], s)
	}
	if again := open(t, log, Options{}).Statistics(); again.FoldedBatches != s.FoldedBatches || again.FoldedBytes < s.Bytes || again.FoldedBatches < n {
		t.Errorf("folded anew %+v, before %+v", again, s)
	}
}
