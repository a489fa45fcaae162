package cli

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"dvr/cmd/internal/doctor"
)

func TestDoctor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("DATA_DIR", t.TempDir())
	e := &exchange{code: 200}
	text, err := runLocal(t, "doctor", "--api-addr", l.Addr().String())
	if !errors.Is(err, errUnwell) || ExitCode(err) != ExitFailure || !strings.Contains(text, "FAIL  port API_ADDR ") || !strings.Contains(text, "→ stop it") {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = runLocal(t, "doctor", "-o", "json", "--api-addr", l.Addr().String())
	var got struct {
		Findings []struct{ Check, Level string }
	}
	if !errors.Is(err, errUnwell) || json.Unmarshal([]byte(text), &got) != nil || len(got.Findings) < 10 {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := runLocal(t, "doctor", "--api-addr", "nonsense"); ExitCode(err) != ExitUsage {
		t.Error(err)
	}
	if _, err := run(t, e, "doctor"); ExitCode(err) != ExitUsage { // --endpoint has no meaning
		t.Error(err)
	}
}

func TestFindingsSayTheVerdict(t *testing.T) {
	for level, want := range map[doctor.Level]string{doctor.OK: "will do well", doctor.Warn: "will run here", doctor.Fail: "FAIL"} {
		var b strings.Builder
		tab := newTable(&b)
		findings(tab, []doctor.Finding{{Check: "a", Found: "x"}, {Check: "longer", Level: level, Found: "y", Advice: "do"}})
		if !strings.Contains(b.String(), want) || !strings.HasPrefix(b.String(), "ok    a       x\n") {
			t.Errorf("%s:\n%s", level, b.String())
		}
	}
}
