package cli

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dvr/cmd/internal/client"
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
