package cli

import (
	"bytes"
	"strings"

	"github.com/spf13/cobra"
)

// bashWords stands in for what cobra's script takes from the package
// bash-completion: it splits the line into words at blanks alone, where bash
// splits at COMP_WORDBREAKS, too, such as the colons of an IPv6 prefix.
const bashWords = `    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    local line=$COMP_LINE blanks part i
    words=() cword=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        part=${COMP_WORDS[i]}
        blanks=${line%%[![:space:]]*}
        line=${line#"$blanks"}
        line=${line#"$part"}
        if ((i > 0)) && [[ -z $blanks ]]; then
            words[${#words[@]}-1]+=$part
        else
            words+=("$part")
        fi
        ((i == COMP_CWORD)) && cword=$((${#words[@]} - 1))
    done
    cur=${words[cword]} prev=
    ((cword > 0)) && prev=${words[cword-1]}
    return 0
`

// bashHelp is what of the script its reader needs to know.
const bashHelp = `Print the completion script for bash. It needs bash alone; the package bash-completion is used where it is there.

In this shell:

  source <(dvr completion bash)

In every new one: either, with bash-completion,

  dvr completion bash >/usr/share/bash-completion/completions/dvr

or, without it,

  echo 'source <(dvr completion bash)' >>~/.bashrc

Routers, prefixes, keys and node ids are asked of the nodes in DVR_ENDPOINTS.`

// standalone makes the script of dvr completion bash work where bash-completion
// is not installed.
func standalone(root *cobra.Command) {
	cmd, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		return
	}
	cmd.Long = bashHelp
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		bare, _ := cmd.Flags().GetBool("no-descriptions")
		var script bytes.Buffer
		if err := root.GenBashCompletionV2(&script, !bare); err != nil {
			return err
		}
		_, err := cmd.OutOrStdout().Write([]byte(strings.Replace(script.String(), "    _get_comp_words_by_ref \"$@\" cur prev words cword\n", bashWords, 1)))
		return err
	}
}
