//! The machine that a pickle is a program for.

use super::{Node, PERSISTENT, Pickle, Value};
use crate::formats::{Fault, Read, length, slice, take};
use std::collections::HashMap;

/// The state of the reader.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    nodes: Vec<Node>,
}

/// Reads one pickle from `at` on.
pub(crate) fn read(bytes: &[u8], at: usize) -> Read<Pickle> {
    let mut m = Machine { bytes, at, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), nodes: Vec::new() };
    loop {
        let op = m.byte()?;
        if op == b'.' {
            let root = m.pop()?;
            return Ok(Pickle { nodes: m.nodes, root, end: m.at });
        }
        m.step(op)?;
    }
}

impl<'a> Machine<'a> {
    fn fault<T>(&self, why: impl Into<String>) -> Read<T> {
        Err(Fault::at(self.at, format!("the pickle is damaged: {}", why.into())))
    }

    fn take<const N: usize>(&mut self) -> Read<[u8; N]> {
        let found = take(self.bytes, self.at)?;
        self.at += N;
        Ok(found)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take::<1>().map(|[b]| b)
    }

    fn u32(&mut self) -> Read<u64> {
        self.take().map(|b| u32::from_le_bytes(b).into())
    }

    fn u64(&mut self) -> Read<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn part(&mut self, len: u64) -> Read<&'a [u8]> {
        let found = slice(self.bytes, self.at, length(len, self.at)?)?;
        self.at += found.len();
        Ok(found)
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Read<&'a str> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|b| *b == b'\n') else { return self.fault("a line does not end") };
        self.at += len + 1;
        match std::str::from_utf8(&rest[..len]) {
            Ok(text) => Ok(text),
            Err(_) => self.fault("a line is not text"),
        }
    }

    fn pop(&mut self) -> Read<Value> {
        // A mark is no value: what is below it is not to be taken.
        if self.marks.last().is_some_and(|m| *m >= self.stack.len()) {
            return self.fault("a value is missing");
        }
        match self.stack.pop() {
            Some(v) => Ok(v),
            None => self.fault("a value is missing"),
        }
    }

    /// The values above the last mark.
    fn above(&mut self) -> Read<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.fault("a mark is missing"),
        }
    }

    fn push(&mut self, v: Value) {
        self.stack.push(v);
    }

    fn add(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(Value::Node(self.nodes.len() - 1));
    }

    fn object(&mut self, class: Value, args: Value) {
        self.add(Node::Object { class, args, state: Value::None, items: Vec::new() });
    }

    fn text(&mut self, bytes: &[u8]) {
        self.push(Value::Text(String::from_utf8_lossy(bytes).into()));
    }

    fn bytes(&mut self, len: u64) -> Read<()> {
        let from = self.at;
        let len = self.part(len)?.len();
        self.push(Value::Bytes(from, len));
        Ok(())
    }

    /// An integer of any length; one that 64 bits do not hold is not needed by anyone who asks.
    fn long(&mut self, len: u64) -> Read<()> {
        let all = self.part(len)?;
        let mut wide = [if all.last().is_some_and(|b| *b >= 128) { 255 } else { 0 }; 8];
        let v = if all.len() <= 8 {
            wide[..all.len()].copy_from_slice(all);
            Value::Int(i64::from_le_bytes(wide))
        } else {
            Value::Float
        };
        self.push(v);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) {
        self.push(Value::Global(format!("{module}.{name}").into()));
    }

    fn remember(&mut self, key: u64) -> Read<()> {
        match self.stack.last() {
            Some(v) => {
                self.memo.insert(key, v.clone());
                Ok(())
            }
            None => self.fault("nothing to remember"),
        }
    }

    fn recall(&mut self, key: u64) -> Read<()> {
        match self.memo.get(&key).cloned() {
            Some(v) => {
                self.push(v);
                Ok(())
            }
            None => self.fault(format!("memo {key} is missing")),
        }
    }

    /// Adds values to the list on top of the stack.
    fn extend(&mut self, values: Vec<Value>) -> Read<()> {
        let Some(Value::Node(i)) = self.stack.last() else { return self.fault("no list to extend") };
        match &mut self.nodes[*i] {
            Node::List(all) => all.extend(values),
            Node::Object { items, .. } => items.extend(values.into_iter().map(|v| (Value::None, v))),
            Node::Dict(_) => return self.fault("no list to extend"),
        }
        Ok(())
    }

    /// Sets items of the dictionary on top of the stack: keys and values in turn.
    fn set(&mut self, values: Vec<Value>) -> Read<()> {
        let Some(Value::Node(i)) = self.stack.last() else { return self.fault("no dictionary to set items of") };
        match pairs(values) {
            Some(new) => match &mut self.nodes[*i] {
                Node::Dict(items) | Node::Object { items, .. } => items.extend(new),
                Node::List(_) => return self.fault("no dictionary to set items of"),
            },
            None => return self.fault("a key without a value"),
        }
        Ok(())
    }

    fn list_of(&mut self, values: usize) -> Read<()> {
        let mut all = (0..values).map(|_| self.pop()).collect::<Read<Vec<_>>>()?;
        all.reverse();
        self.add(Node::List(all));
        Ok(())
    }

    fn step(&mut self, op: u8) -> Read<()> {
        match op {
            // Protocol and frame.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.u64()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // An empty stack above a mark: the mark goes.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.above()?),
            b'2' => {
                let top = self.pop()?;
                self.push(top.clone());
                self.push(top);
            }
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'I' => {
                let v = match self.line()? {
                    "00" | "01" => Value::Bool,
                    text => text.trim().parse().map_or(Value::Float, Value::Int),
                };
                self.push(v);
            }
            b'L' => {
                let v = self.line()?.trim_end_matches('L').parse().map_or(Value::Float, Value::Int);
                self.push(v);
            }
            b'J' => {
                let v = i32::from_le_bytes(self.take()?);
                self.push(Value::Int(v.into()));
            }
            b'K' => {
                let v = self.byte()?;
                self.push(Value::Int(v.into()));
            }
            b'M' => {
                let v = u16::from_le_bytes(self.take()?);
                self.push(Value::Int(v.into()));
            }
            0x8a => {
                let len = self.byte()?.into();
                self.long(len)?;
            }
            0x8b => {
                let len = self.u32()?;
                self.long(len)?;
            }
            b'F' => {
                self.line()?;
                self.push(Value::Float);
            }
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Float);
            }
            b'S' => {
                let line = self.line()?.trim_matches(['\'', '"']).as_bytes();
                self.text(line);
            }
            b'V' => {
                let line = self.line()?.as_bytes();
                self.text(line);
            }
            b'U' | 0x8c => {
                let len = self.byte()?.into();
                let text = self.part(len)?;
                self.text(text);
            }
            b'T' | b'X' => {
                let len = self.u32()?;
                let text = self.part(len)?;
                self.text(text);
            }
            0x8d => {
                let len = self.u64()?;
                let text = self.part(len)?;
                self.text(text);
            }
            b'C' => {
                let len = self.byte()?.into();
                self.bytes(len)?;
            }
            b'B' => {
                let len = self.u32()?;
                self.bytes(len)?;
            }
            0x8e | 0x96 => {
                let len = self.u64()?;
                self.bytes(len)?;
            }
            // Lists, tuples and sets.
            b']' | b')' | 0x8f => self.add(Node::List(Vec::new())),
            b'l' | b't' | 0x91 => {
                let all = self.above()?;
                self.add(Node::List(all));
            }
            0x85..=0x87 => self.list_of(usize::from(op - 0x84))?,
            b'a' => {
                let v = self.pop()?;
                self.extend(vec![v])?;
            }
            b'e' | 0x90 => {
                let all = self.above()?;
                self.extend(all)?;
            }
            b'}' => self.add(Node::Dict(Vec::new())),
            b'd' => match pairs(self.above()?) {
                Some(items) => self.add(Node::Dict(items)),
                None => return self.fault("a key without a value"),
            },
            b's' => {
                let (v, k) = (self.pop()?, self.pop()?);
                self.set(vec![k, v])?;
            }
            b'u' => {
                let all = self.above()?;
                self.set(all)?;
            }
            // Classes and objects.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name);
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(&module, &name),
                _ => return self.fault("a class without a name"),
            },
            b'R' | 0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.object(class, args);
            }
            0x92 => {
                let (_, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(class, args);
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let all = self.above()?;
                self.add(Node::List(all));
                let args = self.pop()?;
                self.object(Value::Global(format!("{module}.{name}").into()), args);
            }
            b'o' => {
                let mut all = self.above()?;
                if all.is_empty() {
                    return self.fault("an object without a class");
                }
                let class = all.remove(0);
                self.add(Node::List(all));
                let args = self.pop()?;
                self.object(class, args);
            }
            b'b' => {
                let new = self.pop()?;
                if let Some(Value::Node(i)) = self.stack.last()
                    && let Node::Object { state, .. } = &mut self.nodes[*i]
                {
                    *state = new;
                }
            }
            b'P' => {
                let line = self.line()?.as_bytes();
                self.text(line);
                let args = self.pop()?;
                self.object(Value::Global(PERSISTENT.into()), args);
            }
            b'Q' => {
                let args = self.pop()?;
                self.object(Value::Global(PERSISTENT.into()), args);
            }
            // The memo.
            b'p' | b'g' => match self.line()?.parse() {
                Ok(key) if op == b'p' => self.remember(key)?,
                Ok(key) => self.recall(key)?,
                Err(_) => return self.fault("a memo without a number"),
            },
            b'q' => {
                let key = self.byte()?.into();
                self.remember(key)?;
            }
            b'r' => {
                let key = self.u32()?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)?;
            }
            b'j' => {
                let key = self.u32()?;
                self.recall(key)?;
            }
            _ => return self.fault(format!("the operation {op:#04x} is not known")),
        }
        Ok(())
    }
}

/// Values as keys and values in turn.
fn pairs(values: Vec<Value>) -> Option<Vec<(Value, Value)>> {
    if !values.len().is_multiple_of(2) {
        return None;
    }
    let mut all = values.into_iter();
    let mut out = Vec::with_capacity(all.len() / 2);
    while let (Some(k), Some(v)) = (all.next(), all.next()) {
        out.push((k, v));
    }
    Some(out)
}
