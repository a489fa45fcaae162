package settings

import (
	"strings"
	"testing"
)

func TestTraces(t *testing.T) {
	s, err := load(t, nil, nil, "")
	if err != nil || s.Trace != (Trace{Ratio: 1}) {
		t.Errorf("by default %+v, %v", s, err)
	}
	for _, way := range []struct {
		args, environ []string
		file          string
	}{
		{args: []string{"--trace-endpoint", "grpc://127.0.0.1:4317", "--trace-ratio", "0.25"}},
		{environ: []string{"TRACE_ENDPOINT=grpc://127.0.0.1:4317", "DVR_TRACE_RATIO=0.25"}},
		{file: "trace_endpoint: grpc://127.0.0.1:4317\ntrace_ratio: 0.25\n"},
	} {
		s, err := load(t, way.args, way.environ, way.file)
		if err != nil || s.Trace != (Trace{"grpc://127.0.0.1:4317", 0.25}) {
			t.Errorf("%+v: %+v, %v", way, s, err)
			continue
		}
		shown := map[string]string{}
		for _, e := range s.Entries() {
			shown[e.Name] = e.Value
		}
		if shown["TRACE_ENDPOINT"] != "grpc://127.0.0.1:4317" || shown["TRACE_RATIO"] != "0.25" {
			t.Errorf("shown as %v", shown)
		}
	}
	for _, good := range []string{"", "grpcs://collector.example:4317", "http://127.0.0.1:4318", "https://collector.example/otlp/v1/traces"} {
		if _, err := load(t, nil, []string{"TRACE_ENDPOINT=" + good}, ""); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"TRACE_ENDPOINT=127.0.0.1:4317", "TRACE_ENDPOINT=grpc://127.0.0.1", "TRACE_ENDPOINT=grpc://h:1/x", "TRACE_ENDPOINT=ftp://h:1",
		"TRACE_ENDPOINT=http://u:p@h:1", "TRACE_ENDPOINT=http://h:1?x", "TRACE_ENDPOINT=http://", "TRACE_RATIO=-1", "TRACE_RATIO=1.1", "TRACE_RATIO=NaN", "TRACE_RATIO=x",
		"LOG_SAMPLE=-1", "LOG_SAMPLE=x"} {
		name, _, _ := strings.Cut(bad, "=")
		if _, err := load(t, nil, []string{bad}, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
