//! Network architectures that several papers use.

mod densenet;
pub mod load;
mod mlp;
mod mobilenet_v2;
mod preact_resnet;
mod resnet;
mod small_cnn;
mod unit;
mod vgg;
mod vit;
mod wide_resnet;

pub use densenet::{DenseNet, DenseNetConfig};
pub use mlp::{Mlp, MlpConfig};
pub use mobilenet_v2::{MobileNetV2, MobileNetV2Config, MobileStage};
pub use preact_resnet::{PreActResNet, PreActResNetConfig, PreActShortcut};
pub use resnet::{ResNet, ResNetBlock, ResNetConfig, Shortcut};
pub use small_cnn::{SmallCnn, SmallCnnConfig};
pub use unit::Stem;
pub use vgg::{Vgg, VggConfig};
pub use vit::{Vit, VitConfig, VitPooling};
pub use wide_resnet::{WideResNet, WideResNetConfig};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Module, Network, Params, Result, Rng, ops};
    use candle_core::{DType, Device, Tensor};

    /// The last layer makes the logits from the features.
    #[test]
    fn features_are_what_the_last_layer_sees() {
        let (d, f) = (&Device::Cpu, DType::F32);
        let small =
            SmallCnn::new(SmallCnnConfig { batch_norm: true, ..Default::default() }, Rng::new(0), f, d).unwrap();
        let cfg = ResNetConfig { width: 4, blocks: vec![1, 1], classes: 7, channels: 1, ..ResNetConfig::default() };
        let res = ResNet::new(cfg, Rng::new(1), f, d).unwrap();
        let x = Rng::new(2).uniform((3, 1, 28, 28), 0.0..1.0, f, d).unwrap();
        let nets: [(Box<dyn Network>, &str); 2] = [(Box::new(small), "fc2"), (Box::new(res), "fc")];
        for (net, last) in nets {
            let get = |n: &str| net.params().get(&format!("{last}.{n}")).unwrap().var().as_detached_tensor();
            let features = net.features(&x).unwrap();
            let made = ops::linear(&features, &get("weight"), Some(&get("bias"))).unwrap();
            assert_eq!(made.to_vec2::<f32>().unwrap(), net.logits(&x).unwrap().to_vec2::<f32>().unwrap());
        }

        /// A network of a user, which does not say what its last layer is.
        struct Other(Params);
        impl Module for Other {
            fn params(&self) -> &Params {
                &self.0
            }
        }
        impl Network for Other {
            fn forward(&self, x: &Tensor, _: crate::Mode) -> Result<Tensor> {
                Ok(x.clone())
            }
            fn outputs(&self) -> usize {
                2
            }
        }
        let e = Other(Params::new()).features(&x).unwrap_err().to_string();
        assert!(e.contains("Network::features"), "{e}");
    }
}
