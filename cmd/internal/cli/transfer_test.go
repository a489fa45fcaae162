package cli

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/client"
	"dvr/eventlog"
)

// hangingUp is a node that dies in the middle of a call.
type hangingUp struct{}

func (hangingUp) ServeHTTP(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// TestAnImportIsResumedAsItWas: with a flag less it would be another request.
func TestAnImportIsResumedAsItWas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "it's all.ndjson")
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want []string }{
		{[]string{"route", "import", "--idempotency-key", "k1"}, []string{"--idempotency-key k1 --endpoint"}},
		{[]string{"route", "import", "--atomic", "--idempotency-key", "k1", "--reason", "all of it"}, []string{"import --idempotency-key k1 ", " --atomic ", " --reason 'all of it' "}},
		{
			[]string{"topology", "import", "--replace", "--scope", "tag:x", "--confirm-within=60s", "--force", "--reason", "r", "--wait", "installed", "--require", "r1,r2", "--actor", "olga"},
			[]string{"dvr topology import --idempotency-key ", " --replace ", " --scope tag:x ", " --confirm-within 60s ", " --force ", " --reason r ", " --wait installed ", " --require r1,r2 ", " --actor olga ", " --timeout 5s "},
		},
		{[]string{"route", "import", "--token", "secret", "--atomic=false"}, []string{" --token TOKEN ", " --atomic=false "}},
	} {
		_, err := run(t, hangingUp{}, append(test.args, file)...)
		if !errors.Is(err, client.ErrUnreachable) {
			t.Fatalf("%q: %v", test.args, err)
		}
		_, advice, _ := strings.Cut(err.Error(), "\nResume with: ")
		for _, want := range append(test.want, ` '`+strings.ReplaceAll(file, "'", `'\''`)+`'`) {
			if !strings.Contains(advice, want) {
				t.Errorf("%q: %q is not in %q", test.args, want, advice)
			}
		}
		if strings.Contains(advice, "secret") || strings.Count(advice, "--idempotency-key") != 1 {
			t.Errorf("%q: %q", test.args, advice)
		}
	}
}

// TestAnImportTellsWhatIsToCome: that it undoes itself, and how it is kept; and
// how much it changed beside its lines.
func TestAnImportTellsWhatIsToCome(t *testing.T) {
	for _, test := range []struct{ args, answer, want string }{
		{
			"route import - --replace --scope tag:x --confirm-within 60s",
			`{"accepted":100,"refused":[],"changes":119900,"first_revision":70,"last_revision":70,"revision":71,"confirm_by":"T"}`,
			"accepted 100\nchanges 119,900, what was withdrawn or removed among them\nrevisions 70 to 70\nIt undoes itself unless confirmed by T: dvr confirm 70\n",
		},
		{
			"topology import - --atomic --propose",
			`{"accepted":2,"refused":[],"changes":2,"first_revision":7,"last_revision":7,"revision":7,"timer":"proposal-1","timer_at":"T"}`,
			"accepted 2\nrevisions 7 to 7\nAnother actor does it until T: dvr approve proposal-1\n",
		},
		{
			"route import - --atomic --expires-in 1h",
			`{"accepted":2,"refused":[],"changes":2,"first_revision":7,"last_revision":7,"revision":7,"timer":"until-1","timer_at":"T"}`,
			"accepted 2\nrevisions 7 to 7\nIt is taken back at T, unless: dvr timer cancel until-1\n",
		},
	} {
		got, err := run(t, &exchange{code: 200, answer: test.answer}, strings.Fields(test.args)...)
		if got = squeeze(got); err != nil || got != test.want {
			t.Errorf("%s: %v\n got %q\nwant %q", test.args, err, got, test.want)
		}
	}
}

// TestASilentNodeIsNotOneThatIsAway: where the call was sent, other advice helps,
// and of a change it is not known whether it was made.
func TestASilentNodeIsNotOneThatIsAway(t *testing.T) {
	for _, test := range []struct {
		args    []string
		changes bool
	}{
		{[]string{"kv", "put", "a", "1"}, true}, {[]string{"kv", "put", "a", "1", "--dry-run"}, false}, {[]string{"status"}, false}, {[]string{"route", "list"}, false},
	} {
		_, err := run(t, hangingUp{}, test.args...)
		if !errors.Is(err, client.ErrUnreachable) || ExitCode(err) != ExitUnavailable {
			t.Fatalf("%q: %v", test.args, err)
		}
		said := err.Error()
		if strings.Contains(said, "Is a node running") || !strings.Contains(said, "A node was reached and did not answer") || strings.Contains(said, "Whether it was done is not known. Repeat it safely with --idempotency-key ") != test.changes {
			t.Errorf("%q: %s", test.args, said)
		}
	}
}

// TestTheHelpOfAnImportShowsItsLines: they are taken, with every member there is.
func TestTheHelpOfAnImportShowsItsLines(t *testing.T) {
	out, err := runLocal(t, "topology", "import", "--help")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for line := range strings.Lines(strings.ReplaceAll(out, ",\n   ", ",")) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "{") {
			continue
		}
		shown++
		e, err := new(eventlog.Decoder).Event([]byte(line))
		if err == nil {
			err = e.Validate()
		}
		if err != nil || string(eventlog.AppendEvent(nil, e)) != line {
			t.Errorf("%s: %v", line, err)
		}
	}
	if shown != 2 {
		t.Errorf("%d lines in\n%s", shown, out)
	}
}
