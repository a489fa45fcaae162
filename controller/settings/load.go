package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// prefix marks variables that are ours for certain, so that unknown ones are errors.
const prefix = "DVR_"

// notOfNode are the DVR_ variables that are known and not settings of a node:
// one environment may serve a node, a data plane and the command line.
var notOfNode = map[string]bool{
	"DVR_CONFIG":    true,                                                               // chooses the config file
	"DVR_ENDPOINTS": true, "DVR_ACTOR": true, "DVR_TOKEN": true, "DVR_TOKEN_FILE": true, // of the other dvr commands
	// of dvr-dataplane
	"DVR_CONTROLLER": true, "DVR_ROUTER": true, "DVR_SINK": true, "DVR_STATE_DIR": true, "DVR_LISTEN": true, "DVR_TAKEOVER": true, "DVR_ADOPT": true,
	"DVR_TABLE": true, "DVR_METRIC": true, "DVR_TUNE_KERNEL": true,
	"DVR_BIN": true, "DVR_STRESS": true, "DVR_REQUIRE_BINARIES": true, // of the tests
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
// form of os.Environ, and the config file that one of them names. Every error
// is an *Error, or one about the file as a whole.
func Load(fs *pflag.FlagSet, environ []string) (*Settings, error) {
	s := &Settings{origins: map[string]Origin{}}
	for _, d := range table {
		if err := d.set(s, d.value); err != nil {
			return nil, &Error{d.name, OriginDefault, err.Error()}
		}
	}
	env, err := readEnvironment(environ)
	if err != nil {
		return nil, err
	}
	path, from := env["DVR_CONFIG"].value, "DVR_CONFIG"
	if fs != nil && fs.Changed("config") {
		path, _ = fs.GetString("config")
		from = "--config"
	}
	if path != "" {
		if err := s.readFile(path, from); err != nil {
			return nil, err
		}
	}
	for _, d := range table {
		if v, ok := env[d.name]; ok {
			if err := s.set(d, v.value, Origin("environment "+v.name)); err != nil {
				return nil, err
			}
		}
	}
	if fs != nil {
		for _, d := range table {
			if f := fs.Lookup(d.flagName()); f != nil && f.Changed {
				if err := s.set(d, f.Value.String(), Origin("flag --"+d.flagName())); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := s.complete(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Settings) set(d *definition, value string, o Origin) error {
	s.origins[d.name] = o
	if err := d.set(s, value); err != nil {
		return &Error{d.name, o, err.Error()}
	}
	return nil
}

type variable struct{ name, value string }

// readEnvironment keys what is set by its bare name. A variable that is set
// to nothing counts as unset, as compose files write it.
func readEnvironment(environ []string) (map[string]variable, error) {
	known := map[string]bool{}
	for _, d := range table {
		known[d.name] = true
	}
	out := map[string]variable{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		bare, ours := strings.CutPrefix(name, prefix)
		if ours && !known[bare] && !notOfNode[name] {
			return nil, &Error{name, Origin("environment " + name), "unknown setting" + suggest(bare)}
		}
		if notOfNode[name] {
			out[name] = variable{name, value}
			continue
		}
		if !known[bare] || value == "" {
			continue
		}
		if other, ok := out[bare]; ok && other.value != value {
			return nil, &Error{bare, Origin("environment"), fmt.Sprintf("%s=%s and %s=%s contradict each other: set one", other.name, other.value, name, value)}
		}
		out[bare] = variable{name, value}
	}
	return out, nil
}

// readFile applies a YAML mapping of scalars; lists are joined by commas.
func (s *Settings) readFile(path, from string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return &Error{from, "", fmt.Sprintf("the config file cannot be read: %v", err)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return &Error{from, "", fmt.Sprintf("%s is not YAML: %v", path, err)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	m := doc.Content[0]
	if m.Kind != yaml.MappingNode {
		return &Error{from, "", fmt.Sprintf("%s:%d: expected settings as `key: value`", path, m.Line)}
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
			return &Error{k.Value, at, "unknown setting" + suggest(k.Value)}
		}
		if seen[k.Value] {
			return &Error{d.name, at, "set twice"}
		}
		seen[k.Value] = true
		value, err := scalar(v)
		if err != nil {
			return &Error{d.name, at, err.Error()}
		}
		if err := s.set(d, value, at); err != nil {
			return err
		}
	}
	return nil
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

// suggest names the setting that was probably meant.
func suggest(name string) string {
	name = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	best, least := "", 4
	for _, d := range table {
		if n := distance(name, d.name); n < least {
			best, least = d.name, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is Levenshtein's.
func distance(a, b string) int {
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
