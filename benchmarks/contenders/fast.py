"""minifcn with its fast engine."""
import minifcn
from benchmarks import network
from benchmarks.contenders import DECAY, MOMENTUM, RATE

ENGINE = "fast"


def build(case, threads, engine):
    minifcn.use(engine)
    minifcn.set_threads(threads)
    model = minifcn.FCN(stride=8, classes=case.classes, width=case.scale, dropout=0.0,
                        fc_channels=case.fc_channels, seed=None)
    for layer, weight, bias in network.weights(case):
        model.parameters[f"{layer.name}.weight"][...] = weight
        model.parameters[f"{layer.name}.bias"][...] = bias
    return model


def forward(case, threads, engine=ENGINE):
    model, images = build(case, threads, engine), network.images(case)
    return lambda: model.forward(images), lambda scores: scores


def training(case, threads, engine=ENGINE):
    model, images, labels = build(case, threads, engine), network.images(case), network.labels(case)
    optimizer = minifcn.SGD(model.parameters, rate=RATE, momentum=MOMENTUM, decay=DECAY)

    def step():
        scores = model.forward(images, training=True)
        loss, dscores = minifcn.softmax_cross_entropy(scores, labels)
        model.backward(dscores)
        optimizer.step(model.gradients)
        return loss

    return step, lambda names: {name: model.gradients[name] for name in names}
