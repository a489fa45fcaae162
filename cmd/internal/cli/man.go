package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manCommand writes a page for each command.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual, a page (section 1) for each command, into a directory", Args: cobra.ExactArgs(1),
		Example: "  dvr man /usr/local/share/man/man1 && man dvr-route-add",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writePages(root, args[0])
		},
	}
}

// writePages writes the page of cmd and those of the commands below it.
func writePages(cmd *cobra.Command, dir string) error {
	path := filepath.Join(dir, pageName(cmd)+".1")
	if err := os.WriteFile(path, []byte(page(cmd)), 0o644); err != nil {
		return err
	}
	for _, child := range shown(cmd) {
		if err := writePages(child, dir); err != nil {
			return err
		}
	}
	return nil
}

// shown are the commands below cmd that have a page.
func shown(cmd *cobra.Command) (list []*cobra.Command) {
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			list = append(list, child)
		}
	}
	return list
}

// pageName is dvr-route-add.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is a command's, in roff's man macros. It has no date: the page of one
// version is the same whenever it is made.
func page(cmd *cobra.Command) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := pageName(cmd)
	line(`.TH %s 1 "" "dvr %s" "DVR"`, roffWord(strings.ToUpper(name)), strings.ReplaceAll(roffWord(version()), `"`, ""))
	line(".SH NAME\n%s \\- %s", roffWord(name), roffWord(cmd.Short))
	line(".SH SYNOPSIS\n.B %s", roffWord(cmd.UseLine()))
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	line(".SH DESCRIPTION")
	b.WriteString(roffText(about))
	if children := shown(cmd); len(children) > 0 {
		line(".SH COMMANDS")
		for _, child := range children {
			line(".TP\n.BR %s (1)\n%s", roffWord(pageName(child)), roffLine(child.Short))
		}
	}
	options(&b, "OPTIONS", cmd.NonInheritedFlags())
	options(&b, "OPTIONS OF EVERY COMMAND", cmd.InheritedFlags())
	if cmd.Example != "" {
		line(".SH EXAMPLES\n.nf")
		for text := range strings.Lines(cmd.Example) {
			line("%s", roffLine(strings.TrimPrefix(strings.TrimSuffix(text, "\n"), "  ")))
		}
		line(".fi")
	}
	if cmd.HasParent() {
		line(".SH SEE ALSO\n.BR %s (1)", roffWord(pageName(cmd.Parent())))
	}
	return b.String()
}

func options(b *strings.Builder, title string, flags *pflag.FlagSet) {
	first := true
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		if first {
			fmt.Fprintf(b, ".SH %s\n", title)
			first = false
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" && f.Value.Type() != "stringSlice" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roffWord(name), roffLine(usage))
	})
}

// roffText keeps paragraphs, and sets what is indented, or a list, line by line.
func roffText(text string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b.WriteString(".PP\n")
		asIs := strings.Contains(part, "\n  ") || strings.HasPrefix(part, "  ")
		if asIs {
			b.WriteString(".nf\n")
		}
		for line := range strings.SplitSeq(part, "\n") {
			b.WriteString(roffLine(line) + "\n")
		}
		if asIs {
			b.WriteString(".fi\n")
		}
	}
	return b.String()
}

// roffLine is a line of text: what begins with a control character does not command.
func roffLine(s string) string {
	s = roffWord(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}

// roffWord takes backslashes and dashes as they are meant, and writes in ASCII
// what is not.
func roffWord(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\n':
			b.WriteByte(' ')
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
