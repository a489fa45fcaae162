package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBashAlone: the script completes in a bash without the package
// bash-completion, words with colons and equals signs included; and calls that
// package where it is there.
func TestBashAlone(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script, err := run(t, nil, "completion", "bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sourced := put("script", script)
	// A program that tells what it was asked, and offers the same always.
	put("dvr", "#!"+bash+"\nprintf '[%s]' \"$@\" >"+dir+"/asked\nprintf '%s\\n' 2001:db8::/32 2001:db8:1::/48 status :4\n")
	for _, test := range []struct {
		line  string
		words []string // as bash splits the line
		asked string
		want  string
	}{
		{"dvr st", []string{"dvr", "st"}, "[__complete][st]", "status"},
		{"dvr route get 2001:d", []string{"dvr", "route", "get", "2001", ":", "d"}, "[__complete][route][get][2001:d]", "db8::/32 db8:1::/48"},
		{"dvr route get 2001:db8::", []string{"dvr", "route", "get", "2001", ":", "db8", "::", ""}, "[__complete][route][get][2001:db8::]", "/32"},
		{"dvr route  get  2001:db8::/32 ", []string{"dvr", "route", "get", "2001", ":", "db8", "::", "/32", ""}, "[__complete][route][get][2001:db8::/32][]", "2001:db8::/32 2001:db8:1::/48 status"},
		{"dvr kv get a: st", []string{"dvr", "kv", "get", "a", ":", "st"}, "[__complete][kv][get][a:][st]", "status"},
		{"dvr status --output=st", []string{"dvr", "status", "--output", "=", "st"}, "[__complete][status][--output=st]", "status"},
	} {
		command := fmt.Sprintf("source %s; COMP_LINE=%q COMP_POINT=%d COMP_WORDS=(%s) COMP_CWORD=%d COMP_TYPE=9; __start_dvr; printf '%%s\\n' \"${COMPREPLY[@]}\"",
			sourced, test.line, len(test.line), "'"+strings.Join(test.words, "' '")+"'", len(test.words)-1)
		cmd := exec.Command(bash, "--noprofile", "--norc", "-c", command)
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
		out, err := cmd.Output() // that it is no completion bash complains of
		asked, _ := os.ReadFile(filepath.Join(dir, "asked"))
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != test.want || string(asked) != test.asked {
			t.Errorf("%q: offers %q, want %q; asked %s, want %s; %v", test.line, got, test.want, asked, test.asked, err)
		}
	}
	cmd := exec.Command(bash, "--noprofile", "--norc", "-c", "source "+sourced+"; _init_completion() { echo called; return 1; }; __start_dvr")
	if out, _ := cmd.CombinedOutput(); strings.TrimSpace(string(out)) != "called" {
		t.Errorf("with bash-completion: %s", out)
	}
}
