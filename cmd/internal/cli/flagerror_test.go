package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dvr/controller/settings"
)

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"status --tims", "dvr status has no flag --tims"},
		{"status --timout 3s", "dvr status has no flag --timout; did you mean --timeout?"},
		{"status --time 3s", "dvr status has no flag --time; did you mean --timeout?"},
		{"status -zx", "dvr status has no flag -z"},
		{"status --timeout", "--timeout needs a value"},
		{"status -o", "--output needs a value"},
		{"status --timeout 3", `--timeout "3": want a duration, such as 30s`},
		{"blame 10.0.0.0/8 --before x", `--before "x": want a whole number that is not negative`},
		{"blame 10.0.0.0/8 --before -1", `--before "-1": want a whole number that is not negative`},
		{"route list --limit x", `--limit "x": want a whole number from 1 to 10000`},
		{"route add 10.0.0.0/8 192.0.2.1 --dry-run=maybe", `--dry-run "maybe": want true or false`},
		{"route add 10.0.0.0/8 192.0.2.1 --metrik 3", "dvr route add has no flag --metrik; did you mean --metric?"},
		{"route add 10.0.0.0/8 192.0.2.1 --metirc 3", "dvr route add has no flag --metirc; did you mean --metric?"},
		{"node --json", "dvr node has no flag --json"}, // nor --join
		{"node --main", "dvr node has no flag --main"},
		{"node --jion x", "dvr node has no flag --jion; did you mean --join?"},
		{"status --=x", "--=x is no flag"},
		{"--verbose", "dvr has no flag --verbose"},
	} {
		var out, errOut bytes.Buffer
		root := Root(Streams{Out: &out, Err: &errOut})
		root.SetArgs(strings.Fields(c.args))
		err := root.Execute()
		if err == nil {
			t.Errorf("%s: no error", c.args)
			continue
		}
		got, usage, _ := strings.Cut(err.Error(), "\n")
		if got != c.want || !strings.HasPrefix(usage, "Usage: dvr") || ExitCode(err) != ExitUsage {
			t.Errorf("%s: %d\n got %s\nwant %s\n%s", c.args, ExitCode(err), got, c.want, usage)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"metric", "metrik", 1}, {"abc", "acb", 2}, {"kitten", "sitting", 3}, {"limit", "limit", 0}} {
		if got := settings.Distance(c.a, c.b); got != c.want || settings.Distance(c.b, c.a) != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestNoFlagHidesAnother: a command whose own flag is called as one for all
// could not be given that one. Whose commits and whose guard are asked for by
// --actor; who asks is DVR_ACTOR there.
func TestNoFlagHidesAnother(t *testing.T) {
	root := Root(Streams{Out: new(bytes.Buffer), Err: new(bytes.Buffer)})
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if all := root.PersistentFlags().Lookup(f.Name); all != nil && all != f && f.Name != "actor" {
				t.Errorf("%s --%s hides the flag of all commands", cmd.CommandPath(), f.Name)
			}
		})
		for _, c := range cmd.Commands() {
			look(c)
		}
	}
	look(root)
}
