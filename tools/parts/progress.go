package parts

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const plainInterval = 10 * time.Second

// progress reports one download and build. Its methods may be called from several goroutines.
type progress struct {
	mu        sync.Mutex
	out       io.Writer
	name      string
	hint      string
	terminal  bool
	bar       *progressbar.ProgressBar
	now       func() time.Time
	began     time.Time
	lastPlain time.Time
	modules   int
	packages  int
	total     int
}

func newProgress(out io.Writer, name, hint string) *progress {
	p := &progress{out: out, name: name, hint: hint, terminal: isTerminal(out), now: time.Now}
	p.began = p.now()
	return p
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// downloadLine takes a line of the go command's stderr while modules are downloaded.
func (p *progress) downloadLine(line string) {
	if !strings.HasPrefix(line, "go: downloading ") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.modules++
	if p.terminal {
		if p.bar == nil {
			p.bar = p.newBar(-1, "downloading "+p.name)
		}
		_ = p.bar.Add(1)
		return
	}
	p.plain(fmt.Sprintf("downloading modules: %d so far", p.modules))
}

// compiling ends the download: total packages are compiled next, less those that are cached.
func (p *progress) compiling(total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	if p.terminal {
		p.clearBar()
		p.bar = p.newBar(total, "building "+p.name)
		return
	}
	p.lastPlain = time.Time{}
	p.plain(fmt.Sprintf("compiling %d packages", total))
}

// packageLine takes a line of "go build -v": the name of a package that is being compiled.
func (p *progress) packageLine(line string) {
	if line == "" || strings.ContainsAny(line, " #:") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.packages = min(p.packages+1, p.total)
	if p.terminal {
		_ = p.bar.Set(p.packages)
		return
	}
	p.plain(fmt.Sprintf("compiled %d of at most %d packages", p.packages, p.total))
}

// finish says that the build is complete.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearBar()
	fmt.Fprintf(p.out, "parts: built %s in %s\n", p.name, p.now().Sub(p.began).Round(time.Second))
}

// close takes the bar from the screen; it does nothing after finish.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearBar()
}

func (p *progress) clearBar() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// plain writes a line, unless one was written a short while ago.
func (p *progress) plain(what string) {
	now := p.now()
	if now.Sub(p.lastPlain) < plainInterval {
		return
	}
	p.lastPlain = now
	fmt.Fprintf(p.out, "parts: building %s (once; %s): %s, %s\n", p.name, p.hint, what, now.Sub(p.began).Round(time.Second))
}

func (p *progress) newBar(total int, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription(fmt.Sprintf("%s (once; %s)", what, p.hint)),
		progressbar.OptionShowCount(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(total > 0),
		progressbar.OptionSetRenderBlankState(true),
		// A spinner that turns on its own would go on after it is cleared.
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionFullWidth(),
	)
}
