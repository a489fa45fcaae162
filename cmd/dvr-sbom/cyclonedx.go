package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The part of CycloneDX 1.5 that is written; the names are the specification's.
type bom struct {
	Schema       string       `json:"$schema"`
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []digest   `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type digest struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// document is the release's, without its serial number.
func (r *release) document() bom {
	root := component{Type: "application", Ref: "dvr@" + r.version, Name: "dvr", Version: r.version, Licenses: make([]license, 1)}
	root.Licenses[0].License.ID = "MIT"
	parts := map[string]component{}
	needs := map[string][]string{root.Ref: nil}
	for _, p := range r.programs {
		file := component{Type: "application", Ref: "file:" + p.name, Name: p.name, Version: r.version, Hashes: []digest{{"SHA-256", p.sha256}}}
		parts[file.Ref] = file
		needs[root.Ref] = append(needs[root.Ref], file.Ref)
		needs[file.Ref] = nil
		if p.goVersion == "" {
			for _, d := range r.packages {
				if c := r.debian(d); d.linked {
					needs[file.Ref] = append(needs[file.Ref], c.Ref)
				}
			}
			continue
		}
		for _, m := range append(p.modules, module{path: "stdlib", version: p.goVersion}) {
			c := component{Type: "library", Name: m.path, Version: m.version, PURL: "pkg:golang/" + escapePath(m.path) + "@" + escape(m.version)}
			if m.sum != "" {
				c.Properties = []property{{"go:sum", m.sum}} // of the module's tree, no file's SHA-256
			}
			c.Ref = c.PURL
			parts[c.Ref] = c
			needs[file.Ref] = append(needs[file.Ref], c.Ref)
			needs[c.Ref] = nil
		}
	}
	for _, d := range r.packages {
		c := r.debian(d)
		if before, ok := parts[c.Ref]; ok && before.Scope == "required" {
			continue // what is linked is also there for building
		}
		parts[c.Ref], needs[c.Ref] = c, nil
	}
	b := bom{
		Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", Format: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata: metadata{Timestamp: r.time.Format(time.RFC3339), Component: root},
	}
	for _, ref := range slices.Sorted(maps.Keys(parts)) {
		b.Components = append(b.Components, parts[ref])
	}
	for ref, on := range needs {
		slices.Sort(on)
		b.Dependencies = append(b.Dependencies, dependency{ref, append([]string{}, slices.Compact(on)...)})
	}
	slices.SortFunc(b.Dependencies, func(x, y dependency) int { return cmp.Compare(x.Ref, y.Ref) })
	return b
}

// debian is a package's component; one for building only is not part of what runs.
func (r *release) debian(d debianPackage) component {
	purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", escape(d.name), escape(d.version), escape(d.architecture))
	if r.distribution != "" {
		purl += "&distro=" + escape(r.distribution)
	}
	c := component{Type: "library", Ref: purl, Name: d.name, Version: d.version, PURL: purl, Scope: "excluded"}
	if d.linked {
		c.Scope = "required"
	}
	return c
}

// escape is a package URL's percent-encoding.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%3A", ":") }

func escapePath(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = escape(segments[i])
	}
	return strings.Join(segments, "/")
}

// write gives the document with a serial number that is its content's hash.
func (r *release) write(out io.Writer) error {
	b := r.document()
	plain, err := json.Marshal(b)
	if err != nil {
		return err
	}
	h := sha256.Sum256(plain)
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // a UUID of version 8
	b.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(b)
}
