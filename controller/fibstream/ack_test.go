package fibstream

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"dvr/controller/fibpb"
)

// TestTextsAreCutAtRunes: what is kept of a data plane's texts is bounded, and the
// nodes can tell each other, which they cannot what is no UTF-8.
func TestTextsAreCutAtRunes(t *testing.T) {
	long := strings.Repeat("é", maxReason)
	for text, want := range map[string]string{
		"":                               "",
		"no such device":                 "no such device",
		long[:maxReason]:                 long[:maxReason],
		long:                             long[:maxReason],
		"x" + long:                       "x" + long[:maxReason-2],
		"xx" + strings.Repeat("€", 1000): "xx" + strings.Repeat("€", (maxReason-2)/3),
		"x" + strings.Repeat("𝄞", 1000):  "x" + strings.Repeat("𝄞", (maxReason-1)/4),
		"a\xffb":                         "a\uFFFDb",
		"a\xc3":                          "a\uFFFD",
		strings.Repeat("\x80", 1000):     "\uFFFD",
		strings.Repeat("\x80x", 1000):    strings.Repeat("\uFFFDx", maxReason/4),
	} {
		p := &plane{}
		p.observe(&fibpb.Observation{What: &fibpb.Observation_Repair_{Repair: &fibpb.Observation_Repair{Prefix: text, Cause: text}}})
		sinks := map[string]*sinkState{}
		if err := takeSinks(sinks, []*fibpb.SinkStatus{{Name: "kernel", Failures: []*fibpb.Failure{{Reason: text}}}}); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{p.repairs[0].Prefix, p.repairs[0].Cause, sinks["kernel"].status.Failures[0].Reason} {
			if got != want || len(got) > maxReason || !utf8.ValidString(got) {
				t.Errorf("%.20q… of %d bytes became %q", text, len(text), got)
			}
			if _, err := proto.Marshal(&fibpb.Observation_Repair{Cause: got}); err != nil {
				t.Errorf("%.20q…: %v", text, err)
			}
		}
	}
}
