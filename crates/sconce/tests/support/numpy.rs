//! Files as numpy writes them.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

/// An array: its type as numpy names it, its order, its shape in Python, its elements.
pub fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.bytes());
    out.extend(data);
    out
}

/// An archive of arrays, stored or deflated.
pub fn npz(arrays: &[(&str, Vec<u8>)], deflate: bool) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, bytes) in arrays {
        let name = format!("{name}.npy");
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let packed = match deflate {
            false => bytes.clone(),
            true => {
                let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
                packer.write_all(bytes).unwrap();
                packer.finish().unwrap()
            }
        };
        let at = out.len() as u32;
        // Version, flags, method, time, date; sizes; the lengths of the name and of what is added.
        let mut entry = Vec::new();
        for v in [20u16, 0, if deflate { 8 } else { 0 }, 0, 0x21] {
            entry.extend(v.to_le_bytes());
        }
        for v in [crc.sum(), packed.len() as u32, bytes.len() as u32] {
            entry.extend(v.to_le_bytes());
        }
        entry.extend((name.len() as u16).to_le_bytes());
        entry.extend(0u16.to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&entry);
        out.extend(name.bytes());
        out.extend(&packed);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(&entry);
        // No comment, the first disk, no attributes.
        central.extend([0; 10]);
        central.extend(at.to_le_bytes());
        central.extend(name.bytes());
    }
    let start = out.len() as u32;
    out.extend(&central);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    for v in [arrays.len() as u16; 2] {
        out.extend(v.to_le_bytes());
    }
    out.extend((central.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend(0u16.to_le_bytes());
    out
}
