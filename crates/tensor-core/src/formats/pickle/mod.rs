//! Python's pickles as data: every operation is followed, nothing is called. What a pickle would call is kept as an object with its arguments.

mod machine;

pub(crate) use machine::read;

use std::rc::Rc;

/// A value. Lists, tuples, dictionaries and objects live in the [`Pickle`] that holds them, so that values are small and may refer to each other.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// Bytes of the pickle: where they start and how many they are.
    Bytes(usize, usize),
    /// A class or a function, `module.name`.
    Global(Rc<str>),
    Node(usize),
}

/// What a [`Value::Node`] refers to.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A list, a tuple or a set.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A call, a new instance or a persistent name: what is called, with what, the state that is set, and the items that are set or added.
    Object {
        class: Value,
        args: Value,
        state: Value,
        items: Vec<(Value, Value)>,
    },
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(crate) struct Pickle {
    nodes: Vec<Node>,
    pub(crate) root: Value,
    /// Where it ends.
    pub(crate) end: usize,
}

/// The name under which persistent names are kept as objects.
pub(crate) const PERSISTENT: &str = "persistent name";

impl Pickle {
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, v: &Value) -> Option<&Node> {
        match v {
            Value::Node(i) => self.nodes.get(*i),
            _ => None,
        }
    }

    /// The elements of a list or a tuple.
    pub(crate) fn list(&self, v: &Value) -> Option<&[Value]> {
        match self.node(v)? {
            Node::List(all) => Some(all),
            _ => None,
        }
    }

    /// The class of an object.
    pub(crate) fn class(&self, v: &Value) -> Option<&str> {
        match self.node(v)? {
            Node::Object { class: Value::Global(name), .. } => Some(name),
            _ => None,
        }
    }

    /// The items of a dictionary, also of an object of any class that has some (`OrderedDict`, the configurations of many libraries).
    pub(crate) fn items(&self, v: &Value) -> Option<&[(Value, Value)]> {
        match self.node(v)? {
            Node::Dict(items) => Some(items),
            // The elements of a list or a set of another class have no keys.
            Node::Object { class: Value::Global(name), items, .. } => {
                let keys = !items.is_empty() && items.iter().all(|(k, _)| matches!(k, Value::Text(_) | Value::Int(_)));
                (keys || matches!(&**name, "collections.OrderedDict" | "collections.defaultdict")).then_some(items)
            }
            _ => None,
        }
    }

    /// The value of a text key.
    pub(crate) fn get(&self, v: &Value, key: &str) -> Option<&Value> {
        self.items(v)?.iter().find(|(k, _)| matches!(k, Value::Text(t) if &**t == key)).map(|(_, v)| v)
    }
}
