package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dvr/cmd/internal/testbed"
)

var update = flag.Bool("update", false, "write the golden files anew")

// session is the transcript's commands; a line that begins with # is kept, one
// that begins with < gives the next command its standard input.
const session = `# routes
route add 10.1.0.0/16 192.168.1.1 --metric 100 --wait installed --reason first
route add 10.1.0.0/16 192.168.1.2 --metric 100
route add 10.9.0.0/16 --type blackhole --tag scanner
route add 2001:db8::/32 fe80::1 --interface eth0 --router r1
route list
route list --within 10.0.0.0/8 --limit 1
route get 10.1.0.0/16
route list --covering 10.1.2.3 --next-hop 192.168.1.2
route lookup 10.1.2.3
route lookup 10.1.2.3 --router r1 --source dataplane
dataplane lookup 10.1.2.3 --router r1
dataplane lookup 10.1.2.3 --at PLANE
dataplane show --at PLANE
dataplane lookup 10.1.2.3
route set 10.1.0.0/16 192.168.1.3 --metric 7
route export
route export --within 2001:db8::/32 --router r1
< {"destination":"20.0.0.0/16","next_hop":"192.168.1.1"}|{"destination":"20.0.0.1/16","next_hop":"192.168.1.1"}|{"destination":"20.2.0.0/16","next_hop":"192.168.1.1"}
route import -
# a change under its key, repeated
route add 30.0.0.0/8 192.168.1.1 --idempotency-key k1
route add 30.0.0.0/8 192.168.1.1 --idempotency-key k1
route add 31.0.0.0/8 192.168.1.1 --idempotency-key k1
# refusals
route add 10.1.2.3/16 192.168.1.1
route add 10.1.0.0/16 fe80::1
route add 10.1.0.0/16 192.168.1.1 --metric 4294967296
route add 10.1.0.0/16 192.168.1.1 --metric -1
route add 10.1.0.0/16 192.168.1.1 --require r1
< {"destination":"20.0.0.1/16","next_hop":"192.168.1.1"}|nonsense
route import -
route get 10.77.0.0/16
route lookup 99.0.0.1
route lookup 2001:db8::1
route get 2001:db8::/32
route delete 10.77.0.0/16
route delete 10.9.0.0/16 --next-hop 192.168.9.9
route ls --router r1 --within 10.0.0.0/8
route add 10.2.0.0 192.168.1.1
route add 10.2.0.0/33 192.168.1.1
route add default 192.168.1.1
route add 10.2.0.0/16 192.168.1.1 100
rout
route list --router nobody
route set 10.1.0.0/16 192.168.1.9 --if-match "1-2"
log show 99999
log show one
nonsense
route nonsense
route add
--endpoint 127.0.0.1:1 status
-o xml status
# routers, links, vectors
router set r1 --description core
router add r2 --tag edge
link set r1 r2 --cost 10 --address-a 10.0.0.1 --address-b 10.0.0.2
router list
router get r2
link list
link get r1 r2
vector r2 --limit 2
link delete r1 r2
router delete r2
# the log
route delete 10.1.0.0/16
log list --after 1 --limit 3
log list --limit 2
log list --last 2
log list --last 2 --after 3
log show 2
-o json log show 2
-o yaml log list --limit 1
status
dataplane list
log verify --etcd ETCD
log verify --etcd 127.0.0.1:1
log repair --etcd ETCD
# keys
kv put site/name core1 --reason seed
< line 1|line 2
kv put site/motd
kv put site/name core2 --if-match 1-2
kv put site/name core2 --if-absent
kv put 100% ü/.. --if-absent
kv get site/name
kv get site/motd
kv get site/motd --tag
-o json kv get 100%
kv list
kv list --prefix site/ --limit 1
kv delete 100%
kv delete 100%
kv get 100%
kv history 100%
kv history never
kv put k
-o yaml kv list
`

// normal replaces what differs between runs.
var normal = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`), "ID"},
	{regexp.MustCompile(`(?m)^(\d+-\d+)-[0-9a-f]{16}$`), "$1-HASH"},
	{regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`), "ADDRESS"},
	{regexp.MustCompile(`(?m)^( +lookups) +\d+`), "$1 N"},
	{regexp.MustCompile(`(?m)^( +version) +\S+`), "$1 VERSION"},
	{regexp.MustCompile(`of [\d,]+ bytes`), "of N bytes"},
	{regexp.MustCompile(`\b\d+(\.\d)? ([KM]i)?B\b`), "SIZE"},
	{regexp.MustCompile(` in \d+\.\d s, [\d,]+ a second`), ""},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// TestTranscript compares what the command line prints, and its exit codes,
// with testdata/transcript.golden (go test -update writes it).
func TestTranscript(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	n := startNode(t, scratch(t))
	p := startPlane(t, n, "r1")
	var out strings.Builder
	input := ""
	for _, line := range strings.Split(strings.TrimSpace(session), "\n") {
		if strings.HasPrefix(line, "#") {
			fmt.Fprintf(&out, "%s\n\n", line)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "< "); ok {
			input = strings.ReplaceAll(rest, "|", "\n") + "\n"
			continue
		}
		p.settle(t, n) // what a data plane is asked for must have reached it
		cmd := exec.CommandContext(within(t, patience), dvr, strings.Fields(strings.NewReplacer("ETCD", n.Etcd, "PLANE", p.Listen, `"`, "").Replace(line))...)
		cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API, "DVR_ACTOR=alice", "DVR_LISTEN="+p.Listen)
		cmd.Stdin = strings.NewReader(input)
		input = ""
		var both bytes.Buffer
		cmd.Stdout, cmd.Stderr = &both, &both
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "$ dvr %s\n%sexit %d\n\n", line, both.String(), cmd.ProcessState.ExitCode())
	}
	got := out.String()
	for _, r := range normal {
		got = r.pattern.ReplaceAllString(got, r.by)
	}
	golden := filepath.Join("testdata", "transcript.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Errorf("line %d:\n got %s\nwant %s", i+1, a[i], b[i])
				break
			}
		}
		t.Errorf("the transcript differs:\n%s", got)
	}
}

// settle waits until the data plane has what the controller has.
func (p *plane) settle(t *testing.T, n *testbed.Node) {
	t.Helper()
	p.inSync(t, n, must(t, n, 200, "GET", "/v1/status", "").revision())
}

// TestFollowTheLog: `dvr log follow` prints commits as they are made and ends
// in order at an interrupt.
func TestFollowTheLog(t *testing.T) {
	dvr, err := testbed.Binary("dvr")
	orSkip(t, err)
	n := startNode(t, scratch(t))
	cmd := exec.CommandContext(within(t, patience), dvr, "log", "follow", "--after", "1")
	cmd.Env = append(os.Environ(), "DVR_ENDPOINTS="+n.API)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewReader(read)
	for i := range 3 {
		reason := fmt.Sprintf("change-%d", i)
		must(t, n, 201, "POST", "/routes?reason="+reason, fmt.Sprintf(`{"destination":"10.%d.0.0/16","next_hop":"192.168.1.1"}`, i))
		if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil || !strings.Contains(line, reason) {
			t.Errorf("followed %q %v, want %s", line, err, reason)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
}
