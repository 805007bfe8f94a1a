//! `data`, and the arguments that say where data is.

use super::Sides;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Labelled images.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// Images and labels: a folder with a folder of PNG or JPEG files for each class; a .npz, .npy or .safetensors file with images
    /// (N, C, H, W), floats in [0, 1] or bytes, and labels (N,); the name of a data set in the catalog (`sconce data list`), whose test split
    /// is used; or fashion-mnist:embedded
    #[arg(long = "data", value_name = "FOLDER|FILE|NAME", required_unless_present = "vnnlib")]
    pub name: Option<String>,
    /// For a folder of images: a file with the names of the classes' folders, one a line, in the order of the model's outputs (default: the
    /// order of the names)
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Resize the images so that the shorter side has N pixels, or both sides H and W, as torchvision's Resize does (bilinear with
    /// antialiasing)
    #[arg(long, value_name = "N|HxW")]
    pub resize: Option<Sides>,
    /// Then take the central N x N or H x W pixels of each image, as torchvision's CenterCrop does
    #[arg(long, value_name = "N|HxW")]
    pub crop: Option<Sides>,
    /// The array of the images in the file (default: the first usual name: x, x_test, images, data, ...)
    #[arg(long, value_name = "NAME")]
    pub x_name: Option<String>,
    /// The array of the labels in the file (default: the first usual name: y, y_test, labels, targets, ...); for a .npy file the file of
    /// the labels (default: y_test.npy for x_test.npy, labels.npy for images.npy)
    #[arg(long, value_name = "NAME")]
    pub y_name: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
}

impl Data {
    /// What was asked for; empty where no data are needed.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// Where data sets are looked for.
#[derive(Clone, Debug, Default, Args)]
pub struct Places {
    /// Look for data files in this folder first, then in $SCONCE_DATA and in the platform's data folder
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Download data that is not on this machine from the Hugging Face hub
    #[arg(long)]
    pub hub: bool,
}

/// What to do with data sets.
#[derive(Clone, Debug, Subcommand)]
pub enum DataVerb {
    /// List the data sets of the catalog, and where each is on this machine
    List {
        /// Look for data files in this folder first, then in $SCONCE_DATA and in the platform's data folder
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// Write the list as JSON to this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Download a data set from the Hugging Face hub into its cache, where every command finds it
    Fetch {
        /// The data set, as `sconce data list` names it
        name: String,
        /// Write what was downloaded as JSON to this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Compare files with the sizes and SHA-256 sums of the catalog; exit with code 3 if one differs
    Verify {
        /// The data set (default: all that are on this machine)
        name: Option<String>,
        /// Look for data files in this folder first, then in $SCONCE_DATA and in the platform's data folder
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// Write the verdict on each file as JSON to this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}
