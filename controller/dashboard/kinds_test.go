package dashboard

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryKindOfEventHasWords: the pages would show the members of an event that
// they do not know, such as a token's hash.
func TestEveryKindOfEventHasWords(t *testing.T) {
	words, err := os.ReadFile("src/lib/events.ts")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("../../eventlog/*.go")
	kinds := 0
	for _, name := range files {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Kind\w+\s+Kind = "([a-z.]+)"`).FindAllStringSubmatch(string(code), -1) {
			kinds++
			if !strings.Contains(string(words), "case '"+m[1]+"':") {
				t.Errorf("src/lib/events.ts has no words for %s", m[1])
			}
		}
	}
	if kinds < 30 {
		t.Errorf("only %d kinds of events were found: is this still how they are declared?", kinds)
	}
}
