package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const packages = `libgrpc++1.51 1.51.1-3+b1 amd64 linked
g++ 4:12.2.0-3 amd64 build
libc6 2.36-9+deb12u13 amd64 linked
libc6 2.36-9+deb12u13 amd64 build
`

// described runs the command on this test's own program, which is Go's, and a file that is not.
func described(t *testing.T, list string) ([]byte, bom, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other, file := filepath.Join(dir, "dvr-dataplane"), filepath.Join(dir, "packages")
	for path, content := range map[string]string{other: "\x7fELF no Go", file: list} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := run([]string{"--version", "1.2.3", "--time", "1795363200", "--distribution", "debian-12", "--packages", file, self, other}, &out); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	d.DisallowUnknownFields()
	var b bom
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), b, filepath.Base(self)
}

// TestForm: what the schema of CycloneDX 1.5 requires of what we use of it.
func TestForm(t *testing.T) {
	_, b, _ := described(t, packages)
	if b.Format != "CycloneDX" || b.SpecVersion != "1.5" || b.Version != 1 || b.Metadata.Timestamp != "2026-11-22T16:00:00Z" {
		t.Errorf("head %q %q %d %q", b.Format, b.SpecVersion, b.Version, b.Metadata.Timestamp)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("serial number %s", b.Serial)
	}
	refs := map[string]bool{b.Metadata.Component.Ref: true}
	for _, c := range b.Components {
		if refs[c.Ref] {
			t.Errorf("bom-ref %s twice", c.Ref)
		}
		refs[c.Ref] = true
		if c.Name == "" || !slices.Contains([]string{"application", "library"}, c.Type) || !slices.Contains([]string{"", "required", "excluded"}, c.Scope) {
			t.Errorf("component %+v", c)
		}
		if c.Type == "library" && !regexp.MustCompile(`^pkg:(golang|deb/debian)/[^ +@]+@[^ @]*$`).MatchString(c.PURL) {
			t.Errorf("purl %s", c.PURL)
		}
		for _, h := range c.Hashes {
			if h.Algorithm != "SHA-256" || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(h.Content) {
				t.Errorf("hash %+v of %s", h, c.Name)
			}
		}
	}
	for _, d := range b.Dependencies {
		for _, ref := range append([]string{d.Ref}, d.DependsOn...) {
			if !refs[ref] {
				t.Errorf("%s is no component", ref)
			}
		}
	}
	if len(b.Dependencies) != len(b.Components)+1 {
		t.Errorf("%d dependencies of %d components and the root", len(b.Dependencies), len(b.Components))
	}
}

func TestContent(t *testing.T) {
	_, b, self := described(t, packages)
	of := func(ref string) []string {
		for _, d := range b.Dependencies {
			if d.Ref == ref {
				return d.DependsOn
			}
		}
		t.Fatalf("nothing of %s", ref)
		return nil
	}
	if got, want := of("dvr@1.2.3"), []string{"file:dvr-dataplane", "file:" + self}; !slices.Equal(got, want) {
		t.Errorf("the release has %q, want %q", got, want)
	}
	const grpc, libc = "pkg:deb/debian/libgrpc++1.51@1.51.1-3+b1?arch=amd64&distro=debian-12", "pkg:deb/debian/libc6@2.36-9+deb12u13?arch=amd64&distro=debian-12"
	plus := strings.NewReplacer("+", "%2B")
	if got, want := of("file:dvr-dataplane"), []string{plus.Replace(libc), plus.Replace(grpc)}; !slices.Equal(got, want) {
		t.Errorf("the data plane is linked to %q, want %q", got, want)
	}
	if got := of("file:" + self); !slices.ContainsFunc(got, func(ref string) bool { return strings.HasPrefix(ref, "pkg:golang/stdlib@1.") }) {
		t.Errorf("a Go program without Go's library: %q", got)
	}
	scopes := map[string]string{}
	for _, c := range b.Components {
		scopes[c.Name] = c.Scope
		if c.Name == "dvr-dataplane" {
			if sum := sha256.Sum256([]byte("\x7fELF no Go")); c.Hashes[0].Content != hex.EncodeToString(sum[:]) {
				t.Errorf("hash %s", c.Hashes[0].Content)
			}
		}
	}
	for name, want := range map[string]string{"libc6": "required", "libgrpc++1.51": "required", "g++": "excluded"} {
		if scopes[name] != want {
			t.Errorf("%s is %q, want %q", name, scopes[name], want)
		}
	}
}

// TestModules: a program's modules, a replaced one as what replaces it.
func TestModules(t *testing.T) {
	r := release{version: "1", programs: []program{{name: "dvr", goVersion: "1.26.8", modules: []module{{"go.uber.org/zap", "v1.27.0", "h1:x="}, {"github.com/A/b+c", "v0.0.0", ""}}}}}
	var got []string
	for _, c := range r.document().Components {
		got = append(got, c.PURL)
	}
	want := []string{"", "pkg:golang/github.com/A/b+c@v0.0.0", "pkg:golang/go.uber.org/zap@v1.27.0", "pkg:golang/stdlib@1.26.8"}
	want[1] = strings.ReplaceAll(want[1], "+", "%2B")
	if !slices.Equal(got, want) {
		t.Errorf("components %q, want %q", got, want)
	}
}

func TestSameBytes(t *testing.T) {
	one, first, _ := described(t, packages)
	lines := strings.SplitAfter(packages, "\n")
	slices.Reverse(lines)
	two, _, _ := described(t, strings.Join(lines, ""))
	if !bytes.Equal(one, two) {
		t.Errorf("the order of the list shows:\n%s\n%s", one, two)
	}
	_, other, _ := described(t, packages+"make 4.3 amd64 build\n")
	if first.Serial == other.Serial {
		t.Error("two documents have one serial number")
	}
}

func TestRefused(t *testing.T) {
	for _, list := range []string{"g++ 4:12 amd64\n", "g++ 4:12 amd64 maybe\n", "\n"} {
		if _, err := readPackages(strings.NewReader(list)); err == nil {
			t.Errorf("%q was taken", list)
		}
	}
	for _, args := range [][]string{{}, {"--version", "1", "--time", "1"}, {"--version", "1", "/bin/sh"}, {"--version", "1", "--time", "1", "/nowhere"}} {
		if err := run(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
