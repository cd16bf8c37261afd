//! The article's program, line by line: a Keras MNIST MLP, in Rust.
use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    let (train, test) = data::mnist()?;
    let train = train.flatten().scale(1.0 / 255.0).one_hot(10);
    let test = test.flatten().scale(1.0 / 255.0).one_hot(10);
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let mut model = net
        .compile(Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(Device::best()?).seed(0))?;
    let history = model.fit(&train, Fit::new().epochs(10).batch_size(32))?;
    println!("{:?} {}", history.last("accuracy"), model.evaluate(&test, 256)?);
    Ok(())
}
