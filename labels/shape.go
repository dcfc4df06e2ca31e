package labels

import (
	"encoding"
	"encoding/json"
	"math/big"
	"reflect"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// shape is what is known of the JSON that values of a type become. A type that holds itself has a shape that does.
type shape struct {
	unknown bool     // anything may be in there
	opaque  bool     // its JSON is not made of its members': what has a label within labels the whole
	hand    Labels   // given by hand
	members []member // of an object; of an array or map one for all
	key     *shape   // of the members of a map
}

// member is where another shape stands within one.
type member struct {
	step   string   // of the pointer
	every  bool     // all elements or members, by the one pointer
	labels []string // of its tag
	tagged bool     // somebody has looked at it
	shape  *shape
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

	// harmless types have a MarshalJSON whose outcome is known: a string or a number.
	harmless = []reflect.Type{reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int]()}
)

// shapes makes the shapes of types, each once.
type shapes struct {
	hand     map[reflect.Type]Labels
	fields   map[protoreflect.FullName][]string
	made     map[reflect.Type]*shape
	messages map[protoreflect.FullName]*shape
}

// of returns the shape of t. A protobuf message becomes what protojson makes of it where its pointer is the whole payload
// (top), and elsewhere what encoding/json makes of the generated struct: there it is labelled as a whole.
func (s *shapes) of(t reflect.Type, top bool) *shape {
	if made := s.made[t]; made != nil {
		return made
	}
	made := new(shape)
	s.made[t] = made
	switch d, is := message(t); {
	case s.hand[t] != nil:
		made.hand, made.opaque = s.hand[t], is && !top
	case d != nil:
		made.members, made.opaque = []member{{shape: s.ofMessage(d)}}, !top
	case is:
		made.unknown = true
	default:
		s.fill(made, t)
	}
	return made
}

func (s *shapes) fill(made *shape, t reflect.Type) {
	for _, known := range harmless {
		if t == known {
			return
		}
	}
	// A method of the pointer counts as well: whether encoding/json calls it depends on where the value stands.
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		made.unknown = implements(t, marshaler)
		made.opaque = made.unknown || implements(t, textMarshaler)
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
	case reflect.Pointer:
		made.members = []member{{shape: s.of(t.Elem(), false)}}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			made.opaque = made.opaque || t.Kind() == reflect.Slice // base64
		}
		made.members = []member{{step: "/" + Every, every: true, shape: s.of(t.Elem(), false)}}
	case reflect.Map:
		made.key = s.of(t.Key(), false)
		made.members = []member{{step: "/" + Every, every: true, shape: s.of(t.Elem(), false)}}
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			made.members = append(made.members, member{step: "/" + Escape(f.name), labels: f.labels, tagged: f.tagged, shape: s.of(f.typ, false)})
		}
	default:
		made.unknown = true
	}
}

func implements(t, what reflect.Type) bool {
	return t.Implements(what) || reflect.PointerTo(t).Implements(what)
}

// names returns all labels within, and Unknown only if nobody has looked at what is unknown.
func (s *shape) names(looked bool) []string {
	var names []string
	type visited struct {
		*shape
		looked bool
	}
	seen := map[visited]bool{}
	var visit func(s *shape, looked bool)
	visit = func(s *shape, looked bool) {
		if seen[visited{s, looked}] {
			return
		}
		seen[visited{s, looked}] = true
		if s.unknown && !looked {
			names = union(names, []string{Unknown})
		}
		names = union(names, s.hand.Names())
		if s.key != nil {
			visit(s.key, false)
		}
		for _, m := range s.members {
			names = union(names, m.labels)
			visit(m.shape, m.looked(looked))
		}
	}
	visit(s, looked)
	return names
}

// looked: what a tag says of a field holds for the elements as well, and not for the fields of a struct, which have tags.
func (m member) looked(above bool) bool { return m.tagged || above && (m.every || m.step == "") }

// maxPointers is what a type may have before it is labelled as a whole. The work is bounded with it: a type can have more
// paths than could ever be walked.
const maxPointers = 200

// labels returns the labels of the shape as a whole payload.
func (s *shape) labels() Labels {
	f := &finder{found: make(Labels)}
	f.find(s, "", nil, false)
	if f.steps <= maxSteps {
		if _, err := f.found.Encode(); err == nil && f.pointers <= maxPointers {
			return f.found
		}
	}
	whole := make(Labels)
	for _, name := range s.names(false) {
		whole[name] = []string{""}
	}
	return whole
}

// finder collects pointers on a walk along every path of a shape.
type finder struct {
	found    Labels
	path     []*shape
	pointers int
	steps    int
}

const maxSteps = 20_000

// find walks s, to which the pointer at leads, and what holds it has the labels have.
func (f *finder) find(s *shape, at string, have []string, looked bool) {
	if f.steps++; f.steps > maxSteps || f.pointers > maxPointers {
		return
	}
	for _, above := range f.path {
		if above == s { // it holds itself: there is no end of pointers into it
			f.add(at, s.names(looked), have)
			return
		}
	}
	if s.opaque || s.unknown || s.key != nil && len(s.key.names(false)) > 0 {
		f.add(at, s.names(looked), have)
		return
	}
	for _, label := range s.hand.Names() {
		for _, pointer := range s.hand[label] {
			f.add(at+pointer, []string{label}, have)
		}
	}
	f.path = append(f.path, s)
	for _, m := range s.members {
		f.add(at+m.step, m.labels, have)
		f.find(m.shape, at+m.step, union(have, m.labels), m.looked(looked))
	}
	f.path = f.path[:len(f.path)-1]
}

func (f *finder) add(at string, labels, have []string) {
	for _, label := range union(have, labels)[len(have):] {
		f.found[label] = append(f.found[label], at)
		f.pointers++
	}
}
