// Command kstatus says what Flux makes of objects: one JSON object a line in, one word and one sentence a line out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		content := map[string]any{}
		if err := kubejson.Unmarshal(lines.Bytes(), &content); err != nil {
			fail(err)
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: content})
		if err != nil {
			fail(err)
		}
		said, err := json.Marshal(map[string]string{"status": result.Status.String(), "message": result.Message})
		if err != nil {
			fail(err)
		}
		fmt.Println(string(said))
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kstatus:", err)
	os.Exit(1)
}
