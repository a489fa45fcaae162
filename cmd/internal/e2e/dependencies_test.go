package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list` tells of a package.
type goPackage struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(within(t, patience), "go", append([]string{"list", "-json=ImportPath,Standard,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// layer of a package; an import must not lead upwards. The tables are data
// for tests and benchmarks, which anything may use.
func layer(path string) int {
	part, _, _ := strings.Cut(strings.TrimPrefix(path, "dvr/"), "/")
	return slices.Index([]string{"dataplane", "eventlog", "projector", "controller", "cmd"}, part)
}

// TestDependencies: eventlog ← projector ← controller ← cmd, the pure parts
// pure, and each library behind the one package that is to know it.
func TestDependencies(t *testing.T) {
	ours := goList(t, "./...")
	if len(ours) < 15 {
		t.Fatalf("%d packages: the list is not whole", len(ours))
	}
	for _, p := range ours {
		if layer(p.ImportPath) < 0 {
			t.Errorf("%s is in no layer", p.ImportPath)
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "dvr/") && layer(i) > layer(p.ImportPath) {
				t.Errorf("%s imports %s, which lies above it", p.ImportPath, i)
			}
			// The logs on etcd and in memory are adapters: the fold must not know them.
			if strings.HasPrefix(p.ImportPath, "dvr/projector") && strings.HasPrefix(i, "dvr/eventlog/") {
				t.Errorf("%s imports the adapter %s", p.ImportPath, i)
			}
		}
	}
	only := func(library string, allowed ...string) {
		for _, p := range ours {
			for _, i := range p.Imports {
				if (i == library || strings.HasPrefix(i, library+"/")) && !slices.ContainsFunc(allowed, func(a string) bool {
					return p.ImportPath == a || strings.HasPrefix(p.ImportPath, a+"/")
				}) {
					t.Errorf("%s imports %s", p.ImportPath, i)
				}
			}
		}
	}
	only("github.com/labstack/echo", "dvr/controller/httpapi", "dvr/cmd/dvr-bench") // the bench's baseline is a bare echo
	only("go.etcd.io/etcd/server", "dvr/controller/etcdserver")
	only("go.etcd.io/etcd", "dvr/eventlog/etcdlog", "dvr/controller/etcdserver", "dvr/controller/node",
		"dvr/controller/cluster", // whose members are etcd's
		"dvr/controller/peer",    // whose directory lies there
		"dvr/cmd")
	only("google.golang.org/grpc", "dvr/eventlog/etcdlog", "dvr/controller/etcdserver", "dvr/controller/fibstream", "dvr/controller/fibpb", "dvr/controller/node",
		"dvr/controller/peer", "dvr/controller/peerpb",
		"dvr/controller/certs",        // which secures its connections
		"dvr/controller/tracing",      // whose tests have a collector
		"dvr/cmd/internal/cli",        // which asks data planes
		"dvr/cmd/dvr-bench",           // which asks one whose node is away
		"dvr/cmd/internal/robustness") // which dials into network namespaces
	only("github.com/spf13/cobra", "dvr/cmd")
	only("go.opentelemetry.io", "dvr/controller/tracing")
	only("dvr/eventlog/logtest")
}

// TestPurity: eventlog needs nothing but the standard library, and neither it
// nor the projector a clock, a goroutine's tools, files, sockets or loggers.
func TestPurity(t *testing.T) {
	for _, p := range goList(t, "-deps", "./eventlog", "./projector") {
		if !p.Standard && !strings.HasPrefix(p.ImportPath, "dvr/eventlog") && !strings.HasPrefix(p.ImportPath, "dvr/projector") && !vendored(p.ImportPath) {
			t.Errorf("eventlog and projector depend on %s", p.ImportPath)
		}
	}
	for _, p := range goList(t, "./eventlog", "./projector", "./projector/internal/pmap") {
		for _, i := range p.Imports {
			switch i {
			case "context": // of the Log interface
				if p.ImportPath != "dvr/eventlog" {
					t.Errorf("%s imports %s", p.ImportPath, i)
				}
			case "time", "os", "net", "net/http", "log", "log/slog", "sync", "sync/atomic", "math/rand", "math/rand/v2", "crypto/rand", "os/signal", "syscall":
				if slices.Contains(knownCaches[p.ImportPath], i) {
					continue
				}
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

// knownCaches are imports of sync for values that are computed once and for
// counters that give identity, which callers cannot tell from none.
var knownCaches = map[string][]string{
	"dvr/projector":               {"sync", "sync/atomic"},
	"dvr/projector/internal/pmap": {"sync/atomic"}, // tokens of owners
}

// vendored standard packages are listed without a path of ours.
func vendored(path string) bool { return strings.HasPrefix(path, "vendor/") }
