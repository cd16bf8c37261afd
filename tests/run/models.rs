//! Networks that many know: their parameters under torchvision's names, and a step of each that is small enough.

use gradus::nn::{BatchNorm2d, Conv2d, models};
use gradus::prelude::*;
use gradus::tensor::HostTensor;

fn compiled(net: impl Module, image: [usize; 3]) -> Model {
    net.compile(Compile::new(Sgd::new(0.01), CrossEntropy::new()).input(image).device(Device::cpu()).seed(1)).unwrap()
}

/// The sizes that torchvision 0.21 has for 1,000 classes, and names of layers of every kind.
#[test]
fn parameters_are_torchvisions() {
    let numbers = |m: &Model| m.parameter_count();
    let resnet = compiled(models::resnet18(1000), [3, 32, 32]);
    assert_eq!(numbers(&resnet), 11_689_512);
    for (name, shape) in [
        ("conv1.weight", vec![64, 3, 7, 7]),
        ("layer1.0.bn2.bias", vec![64]),
        ("layer2.0.downsample.0.weight", vec![128, 64, 1, 1]),
        ("layer4.1.conv2.weight", vec![512, 512, 3, 3]),
        ("fc.weight", vec![1000, 512]),
    ] {
        assert_eq!(resnet.parameter(name).unwrap().shape().dims(), shape, "{name}");
    }
    assert_eq!(resnet.buffer("layer2.0.downsample.1.running_var").unwrap().shape().dims(), [128]);
    let mobile = compiled(models::mobilenet_v2(1000), [3, 32, 32]);
    assert_eq!(numbers(&mobile), 3_504_872);
    assert_eq!(mobile.parameter("features.2.conv.1.0.weight").unwrap().shape().dims(), [96, 1, 3, 3]);
    assert_eq!(mobile.parameter("classifier.1.bias").unwrap().shape().dims(), [1000]);
    assert_eq!(numbers(&compiled(models::resnet20(10), [3, 32, 32])), 272_474);
}

/// Loss falls on a batch that is seen again and again, and the same bits come on one thread and two.
#[test]
fn small_ones_learn() {
    let x: Vec<f32> = (0..8 * 3 * 16 * 16).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 50.0).collect();
    let labels: Vec<u8> = (0..8).map(|i| i % 3).collect();
    let data = Dataset::new(HostTensor::f32([8, 3, 16, 16], x).unwrap(), HostTensor::u8([8], labels).unwrap()).unwrap();
    let train = |threads: usize| {
        let compile = Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([3, 16, 16]).device(Device::cpu_threads(threads)).seed(2);
        let mut m = models::resnet20(3).compile(compile).unwrap();
        let history = m.fit(&data, Fit::new().epochs(6).batch_size(8).verbose(0)).unwrap();
        let losses = history["loss"].to_vec();
        (losses, m.parameter("layer3.2.conv2.weight").unwrap())
    };
    let (losses, weights) = train(1);
    assert!(losses.last().unwrap() < &(0.7 * losses[0]), "{losses:?}");
    assert_eq!(train(2), (losses, weights));
    // a class for each place
    let net = module(|s, x| s.at("net").call(&models::unet(2, 4, 2), x).mean_axes(&[2, 3]));
    let mut m = net.compile(Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([3, 16, 16]).device(Device::cpu())).unwrap();
    let two: Vec<u8> = (0..8).map(|i| i % 2).collect();
    let pairs = Dataset::new(data.features().unwrap().clone(), HostTensor::u8([8], two).unwrap()).unwrap();
    let history = m.fit(&pairs, Fit::new().epochs(8).batch_size(8).verbose(0)).unwrap();
    assert!(history.last("loss").unwrap() < history["loss"][0], "{history:?}");
}

/// Backward through batch normalisation sums two things over the images: the gradient, for bias, mean and images, and its product with deviations.
#[test]
fn batch_normalisation_sums_twice() {
    let net = module(|s, x| {
        let x = s.at("conv").call(&Conv2d::new(8, 3), x);
        let x = s.at("norm").call(&BatchNorm2d::new(), &x).relu();
        s.at("next").call(&Conv2d::new(4, 3), &x).mean_axes(&[2, 3])
    });
    let data =
        Dataset::new(HostTensor::f32([8, 3, 16, 16], vec![0.5; 8 * 768]).unwrap(), HostTensor::u8([8], vec![1; 8]).unwrap()).unwrap();
    let text = compiled(net, [3, 16, 16]).prepare(&data, 8).unwrap().explain();
    let sums: Vec<&str> = text.lines().filter(|l| l.contains("reduce") && l.contains("sum") && l.contains("[8, 14, 14, 8]")).collect();
    assert!(!sums.is_empty() && sums.iter().all(|l| l.matches("sum").count() == 2), "{text}");
    // and the gradient is stored once: whoever needs it scaled scales it
    assert!(!text.lines().any(|l| l.contains("gemm_nn") && l.contains("mul")), "{text}");
}
