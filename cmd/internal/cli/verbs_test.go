package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// verbs calls fn with every command that does something.
func verbs(cmd *cobra.Command, fn func(*cobra.Command)) {
	if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Parent().Name() != "completion" && cmd.Name() != "help" {
		fn(cmd)
	}
	for _, child := range cmd.Commands() {
		verbs(child, fn)
	}
}

func quiet() *cobra.Command {
	return Root(Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
}

// TestEveryVerbHasExamplesThatWork: each has one, and each line of them is
// understood by the command that it is about.
func TestEveryVerbHasExamplesThatWork(t *testing.T) {
	known := map[string]bool{}
	verbs(quiet(), func(cmd *cobra.Command) {
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		known[path] = true
		if cmd.Example == "" {
			t.Errorf("%s has no example", path)
		}
		own := false
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			verb, err := understood(line)
			if err != nil {
				t.Errorf("%s: %q: %v", path, line, err)
			}
			own = own || verb == path
		}
		if !own {
			t.Errorf("none of the examples of %s is about it", path)
		}
	})
	for path := range examples {
		if !known[path] {
			t.Errorf("examples of %q, which is no verb", path)
		}
	}
}

// understood parses the words of an example from dvr on, up to what the shell
// takes, and gives the verb.
func understood(line string) (verb string, err error) {
	var words []string
	quote := rune(0)
	word, any := "", false
	flush := func() {
		if any {
			words = append(words, word)
		}
		word, any = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, any = r, true
		case r == ' ':
			flush()
		default:
			word, any = word+string(r), true
		}
	}
	flush()
	if at := slices.Index(words, "dvr"); at >= 0 {
		words = words[at+1:]
	} else {
		return "", errors.New("there is no dvr in it")
	}
	for i, w := range words {
		if slices.Contains([]string{"|", ">", "<", "&&"}, w) || strings.HasPrefix(w, "#") {
			words = words[:i]
			break
		}
	}
	cmd, args, err := quiet().Find(words)
	if err != nil {
		return "", err
	}
	_, verb, _ = strings.Cut(cmd.CommandPath(), " ")
	if err := cmd.ParseFlags(args); err != nil {
		return verb, err
	}
	if cmd.Args != nil {
		return verb, cmd.Args(cmd, cmd.Flags().Args())
	}
	return verb, nil
}

// TestManual: a page for each command, which groff takes without a word.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if _, err := runLocal(t, "man", dir); err != nil {
		t.Fatal(err)
	}
	count := 0
	verbs(quiet(), func(cmd *cobra.Command) {
		count++
		raw, err := os.ReadFile(filepath.Join(dir, pageName(cmd)+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		for _, want := range []string{".TH ", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH EXAMPLES\n", ".SH SEE ALSO\n"} {
			if !bytes.Contains(raw, []byte(want)) {
				t.Errorf("%s: no %q", cmd.CommandPath(), want)
			}
		}
	})
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) <= count {
		t.Errorf("%d pages for %d verbs: %v", len(pages), count, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "dvr-route-add.1"))
	if err != nil || !bytes.Contains(text, []byte(`.B \-\-metric NUMBER`)) || !bytes.Contains(text, []byte(`dvr route add 10.1.0.0/16 192.168.1.1 \-\-metric 100`)) {
		t.Errorf("%v\n%s", err, text)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("no groff here: the pages are not set")
		return
	}
	out, err := exec.Command(groff, append([]string{"-man", "-Tutf8", "-ww", "-z"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v %.2000s", err, out)
	}
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{".so x": `\&.so x`, "'quoted'": `\&'quoted'`, `a\b --c`: `a\eb \-\-c`, "more…": `more\[u2026]`} {
		if got := roffLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := roffText("one\ntwo\n\nCodes:\n  0  done\n"); got != ".PP\none\ntwo\n.PP\n.nf\nCodes:\n  0  done\n.fi\n" {
		t.Errorf("%q", got)
	}
}

// TestCompletion asks a server, as a shell does through __complete.
func TestCompletion(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		q := r.URL.Query()
		switch r.URL.Path {
		case "/v1/routers":
			fmt.Fprint(w, `{"routers":[{"router":"ams"},{"router":"ber"},{"router":"bru"}]}`)
		case "/v1/links":
			fmt.Fprint(w, `{"links":[{"a":"ams","b":"ber"},{"a":"ams","b":"ber","name":"x"},{"a":"ber","b":"bru"}]}`)
		case "/v1/cluster/members":
			fmt.Fprint(w, `{"members":[{"node_id":"node1"},{"node_id":"node2"}]}`)
		case "/v1/guards":
			fmt.Fprint(w, `{"guards":[{"event":{"name":"core"}},{"event":{"name":"edge"}}]}`)
		case "/kv":
			if q.Get("prefix") == "many/" {
				fmt.Fprint(w, `{`)
				for i := range 500 {
					fmt.Fprintf(w, `"many/%d/%d":"",`, i%3, i)
				}
				fmt.Fprint(w, `"many/a/1":""}`)
				return
			}
			fmt.Fprint(w, `{"site/a":"1","site/b":"2"}`)
		case "/v1/routes":
			if q.Get("covering") != "" {
				fmt.Fprint(w, `{"routes":[{"destination":"0.0.0.0/0"},{"destination":"10.0.0.0/8"}]}`)
				return
			}
			fmt.Fprint(w, `{"routes":[{"destination":"10.1.0.0/16"},{"destination":"10.1.0.0/16"},{"destination":"10.12.0.0/16"},{"destination":"10.2.0.0/16"}]}`)
		}
	}))
	defer s.Close()
	for _, test := range []struct {
		words []string
		want  string
		asked string
	}{
		{[]string{"router", "get", "b"}, "ber bru", "/v1/routers"},
		{[]string{"link", "down", ""}, "ams ber bru", "/v1/routers"},
		{[]string{"link", "down", "ber", ""}, "ams bru", "/v1/links"},
		{[]string{"link", "get", "bru", ""}, "ber", "/v1/links"},
		{[]string{"link", "delete", "nobody", ""}, "", "/v1/links"},
		{[]string{"link", "set", "ams", ""}, "ber bru", "/v1/routers"},
		{[]string{"link", "down", "ams", "ber", ""}, "", ""},
		{[]string{"route", "list", "--router", "am"}, "ams", "/v1/routers"},
		{[]string{"route", "add", "10.0.0.0/8", "192.0.2.1", "--require", "ams,b"}, "ams,ber ams,bru", "/v1/routers"},
		{[]string{"cluster", "remove", ""}, "node1 node2", "/v1/cluster/members"},
		{[]string{"guard", "remove", "e"}, "edge", "/v1/guards"},
		{[]string{"guard", "set", "x", "max"}, "max_shrink max_routes", ""},
		{[]string{"kv", "get", "site/"}, "site/a site/b", "/kv?limit=1000&prefix=site%2F"},
		{[]string{"route", "delete", "10.1"}, "10.1.0.0/16 10.12.0.0/16", "/v1/routes?covering=10.0.0.0&limit=100 /v1/routes?limit=10000&within=10.0.0.0%2F8"},
		{[]string{"route", "delete", "10.0."}, "10.0.0.0/8", "/v1/routes?covering=10.0.0.0&limit=100 /v1/routes?limit=10000&within=10.0.0.0%2F16"},
		{[]string{"blame", "1"}, "10.1.0.0/16 10.12.0.0/16 10.2.0.0/16", "/v1/routes?limit=10000"},
		{[]string{"route", "add", "--wait", "in"}, "installed", ""},
		{[]string{"watch", "--kinds", "routes,to"}, "routes,topology", ""},
		{[]string{"status", ""}, "", ""},
	} {
		asked = nil
		out, err := runLocal(t, append([]string{"__complete", "--endpoint", s.URL}, test.words...)...)
		if err != nil {
			t.Errorf("%v: %v", test.words, err)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if got := strings.Join(lines[:len(lines)-1], " "); got != test.want || strings.Join(asked, " ") != test.asked {
			t.Errorf("%v: %q after asking %q, want %q after %q", test.words, got, asked, test.want, test.asked)
		}
		if !strings.HasPrefix(lines[len(lines)-1], ":4") {
			t.Errorf("%v: directive %s", test.words, lines[len(lines)-1])
		}
	}
	if out, err := runLocal(t, "__complete", "--endpoint", s.URL, "kv", "get", "many/"); err != nil || out != "many/0/\nmany/1/\nmany/2/\nmany/a/\n:4\n" {
		t.Errorf("%v\n%.300s", err, out)
	}
}

// TestCompletionGivesUp: a node that does not answer is not waited for, and
// said nothing about.
func TestCompletionGivesUp(t *testing.T) {
	released := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}))
	defer s.Close()
	defer close(released)
	begin := time.Now()
	for _, endpoint := range []string{s.URL, "http://127.0.0.1:1", (&url.URL{Scheme: "ftp", Host: "x"}).String()} {
		out, err := runLocal(t, "__complete", "--endpoint", endpoint, "router", "get", "")
		if err != nil || out != ":4\n" {
			t.Errorf("%s: %v %q", endpoint, err, out)
		}
	}
	if took := time.Since(begin); took > patienceOfPeople {
		t.Errorf("it took %s", took)
	}
}

// patienceOfPeople is generous: the machine may be busy; without a limit it is for ever.
const patienceOfPeople = 20 * completionTime
