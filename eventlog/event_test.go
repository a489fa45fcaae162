package eventlog

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cmpNetip = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestEventRoundTrip(t *testing.T) {
	kinds := map[Kind]bool{}
	for _, e := range allSamples() {
		kinds[e.Kind()] = true
		if err := e.Validate(); err != nil {
			t.Errorf("%s: Validate: %v", AppendEvent(nil, e), err)
		}
		b := AppendEvent(nil, e)
		if !json.Valid(b) {
			t.Errorf("%s: not JSON", b)
		}
		got, err := DecodeEvent(b)
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if d := cmp.Diff(e, got, cmpNetip); d != "" {
			t.Errorf("%s: (-want +got)\n%s", b, d)
		}
	}
	if len(kinds) != 31 {
		t.Errorf("the samples hold %d kinds, want 31", len(kinds))
	}
}
