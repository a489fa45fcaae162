package settings

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// prefix marks variables that are ours for certain, so that unknown ones are errors.
const prefix = "DVR_"

// notOfNode are the DVR_ variables that are known and not settings of a node:
// one environment may serve a node, a data plane and the command line.
var notOfNode = map[string]bool{
	"DVR_CONFIG":    true,                                                                               // chooses the config file
	"DVR_ENDPOINTS": true, "DVR_ACTOR": true, "DVR_TOKEN": true, "DVR_TOKEN_FILE": true, "DVR_AT": true, // of the other dvr commands
	// of dvr-dataplane
	"DVR_CONTROLLER": true, "DVR_ROUTER": true, "DVR_SINK": true, "DVR_STATE_DIR": true, "DVR_LISTEN": true, "DVR_TAKEOVER": true, "DVR_ADOPT": true,
	"DVR_TABLE": true, "DVR_METRIC": true, "DVR_TUNE_KERNEL": true, "DVR_INTERFACE": true, "DVR_BPFFS": true, "DVR_PROBE": true,
	"DVR_BIN": true, "DVR_STRESS": true, "DVR_REQUIRE_BINARIES": true, "DVR_REQUIRE_ALL": true, // of the tests
}

// CheckNames refuses a DVR_ variable that no program of DVR knows and that is
// nearly the name of one that is known: a client with a misspelt DVR_ENDPOINTS
// would call another cluster than was meant. environ is as of os.Environ.
func CheckNames(environ []string) error {
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		bare, ours := strings.CutPrefix(name, prefix)
		if !ours || notOfNode[name] || slices.ContainsFunc(table, func(d *definition) bool { return d.name == bare }) {
			continue
		}
		if meant := nearestVariable(bare); meant != "" {
			return &Error{name, Origin("environment " + name), "unknown setting; did you mean " + meant + "?"}
		}
	}
	return nil
}

// Flags registers a flag for every setting, and --config. Values are read by Load.
func Flags(fs *pflag.FlagSet) {
	fs.String("config", "", "config file in YAML (or DVR_CONFIG)")
	for _, d := range table {
		usage := d.usage + " (" + d.name + ")"
		if d.flag {
			fs.Bool(d.flagName(), d.value == "true", usage)
		} else {
			fs.String(d.flagName(), d.value, usage)
		}
	}
}

// Load reads the settings from parsed flags (nil: none), the environment in the
// form of os.Environ, and the config file that one of them names. The error has
// everything that is wrong, an *Error each, joined: first what no setting can be
// read of, then what does not belong together. What rests on a setting that is
// wrong is not judged.
func Load(fs *pflag.FlagSet, environ []string) (*Settings, error) {
	s := &Settings{origins: map[string]Origin{}}
	l := &loading{s: s, wrong: map[string]bool{}}
	for _, d := range table {
		l.set(d, d.value, OriginDefault)
	}
	env := l.readEnvironment(environ)
	path, from := env["DVR_CONFIG"].value, "DVR_CONFIG"
	if fs != nil && fs.Changed("config") {
		path, _ = fs.GetString("config")
		from = "--config"
	}
	if path != "" {
		l.readFile(path, from)
	}
	for _, d := range table {
		if v, ok := env[d.name]; ok {
			l.set(d, v.value, Origin("environment "+v.name))
		}
	}
	if fs != nil {
		for _, d := range table {
			if f := fs.Lookup(d.flagName()); f != nil && f.Changed {
				l.set(d, f.Value.String(), Origin("flag --"+d.flagName()))
			}
		}
	}
	if !l.unread {
		l.complete()
	}
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Errors are the parts of Load's error, in its order; of another error itself.
func Errors(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// loading is settings on their way, and what is wrong with them so far.
type loading struct {
	s     *Settings
	errs  []error
	wrong map[string]bool // settings that an error is about
	// unread: there is a file of which nothing is known, so neither is what
	// belongs together.
	unread bool
}

// fail keeps an error and that its setting is wrong.
func (l *loading) fail(err *Error) {
	l.errs = append(l.errs, err)
	l.wrong[err.Name] = true
}

// check runs a check that reads these settings, unless one of them is wrong.
func (l *loading) check(f func() error, reads ...string) {
	for _, name := range reads {
		if l.wrong[name] {
			return
		}
	}
	var e *Error
	if err := f(); errors.As(err, &e) {
		l.fail(e)
	} else if err != nil {
		l.errs = append(l.errs, err)
	}
}

func (l *loading) set(d *definition, value string, o Origin) {
	l.s.origins[d.name] = o
	if err := d.set(l.s, value); err != nil {
		l.fail(&Error{d.name, o, err.Error()})
	}
}

// unknown refuses a name that no setting has. The one that was probably meant,
// if any, lacks the value that it was to have.
func (l *loading) unknown(name, meant string, at Origin) {
	e := &Error{name, at, "unknown setting; `dvr config show` lists those that there are"}
	if meant != "" {
		e.Reason = "unknown setting; did you mean " + meant + "?"
		l.wrong[meant] = true
	}
	l.fail(e)
}

type variable struct{ name, value string }

// readEnvironment keys what is set by its bare name. A variable that is set
// to nothing counts as unset, as compose files write it.
func (l *loading) readEnvironment(environ []string) map[string]variable {
	known := map[string]bool{}
	for _, d := range table {
		known[d.name] = true
	}
	out := map[string]variable{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		bare, ours := strings.CutPrefix(name, prefix)
		if ours && !known[bare] && !notOfNode[name] {
			l.unknown(name, nearestVariable(bare), Origin("environment "+name))
			continue
		}
		if notOfNode[name] {
			out[name] = variable{name, value}
			continue
		}
		if !known[bare] || value == "" {
			continue
		}
		if other, ok := out[bare]; ok && other.value != value {
			l.fail(&Error{bare, Origin("environment"), fmt.Sprintf("%s and %s contradict each other: set one", other.name, name)})
		}
		out[bare] = variable{name, value}
	}
	return out
}

// readFile applies a YAML mapping of scalars; lists are joined by commas.
func (l *loading) readFile(path, from string) {
	unread := func(format string, args ...any) {
		l.fail(&Error{from, "", fmt.Sprintf(format, args...)})
		l.unread = true
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		unread("the config file cannot be read: %v", err)
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		unread("%s is not YAML: %v", path, err)
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	m := doc.Content[0]
	if m.Kind != yaml.MappingNode {
		unread("%s:%d: expected settings as `key: value`", path, m.Line)
		return
	}
	byKey := map[string]*definition{}
	for _, d := range table {
		byKey[d.fileKey()] = d
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		at := Origin(fmt.Sprintf("file %s:%d", path, k.Line))
		d, ok := byKey[k.Value]
		if !ok {
			l.unknown(k.Value, nearest(k.Value), at)
			continue
		}
		if seen[k.Value] {
			l.fail(&Error{d.name, at, "set twice"})
			continue
		}
		seen[k.Value] = true
		if value, err := scalar(v); err != nil {
			l.fail(&Error{d.name, at, err.Error()})
		} else {
			l.set(d, value, at)
		}
	}
}

func scalar(v *yaml.Node) (string, error) {
	switch v.Kind {
	case yaml.ScalarNode:
		if v.Tag == "!!null" {
			return "", fmt.Errorf("has no value")
		}
		return v.Value, nil
	case yaml.SequenceNode:
		var parts []string
		for _, c := range v.Content {
			if c.Kind != yaml.ScalarNode {
				return "", fmt.Errorf("expected a list of plain values")
			}
			parts = append(parts, c.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("expected a plain value")
}

// nearest is the setting that was probably meant by a name; "": none is near.
func nearest(name string) string {
	best, _ := nearestSetting(strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	return best
}

func nearestSetting(name string) (best string, least int) {
	least = len(name)
	for _, d := range table {
		if n := Distance(name, d.name); n < least && Near(name, d.name) {
			best, least = d.name, n
		}
	}
	return best, least
}

// nearestVariable is nearest among all DVR_ variables, for a name without DVR_.
func nearestVariable(bare string) string {
	best, least := nearestSetting(bare)
	for _, name := range slices.Sorted(maps.Keys(notOfNode)) {
		known := strings.TrimPrefix(name, prefix)
		if n := Distance(bare, known); n < least && Near(bare, known) {
			best, least = name, n
		}
	}
	return best
}

// tolerance is at how many letters from a name another is near to it.
func tolerance(name string) int { return min(3, len(name)/3) }

// Near reports whether a name may be a mistyped known one. Of short names one
// letter makes another word (COIN is not JOIN), so they must begin alike.
func Near(name, known string) bool {
	switch {
	case name == "" || known == "":
		return false
	case len(name) <= 5 && name[0] != known[0]:
		return false
	case Distance(name, known) <= tolerance(name):
		return true
	}
	letters := func(s string) []byte { return slices.Sorted(slices.Values([]byte(s))) }
	return Distance(name, known) == 2 && slices.Equal(letters(name), letters(known)) // two have changed places
}

// Distance is how many bytes are to be inserted, deleted or replaced in a to make
// it b (Levenshtein's). Cost: O(len(a) × len(b)).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
