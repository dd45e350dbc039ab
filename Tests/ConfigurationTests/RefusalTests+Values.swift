extension Refusal {
    /// Unknown keys and names, wrong types, values out of range.
    static let values: [Refusal] = [
        Refusal(
            #"{\#n\#tmodel: {\#n\#t\#thiden: [3],\#n\#t},\#n}"#,
            #"""
            run.json5:3:3: unknown key "hiden" in model; did you mean "hidden"? Known here: \#
            hidden, name, stem, placement, shortcut, dropout, activation, normalization, \#
            initialization, zeroInitialBlocks
                \#t\#thiden: [3],
                \#t\#t^
            """#),
        Refusal(
            #"{ learningRate: 1 }"#,
            #"""
            run.json5:1:3: unknown key "learningRate"; did you mean "optimizer.learningRate"? \#
            Known here: evaluate, data, optimizer, freeze, checkpoint, tensorboard, seed, batch, \#
            loss, schedule, epochs, probes, watch, model, steps, collectives
                { learningRate: 1 }
                  ^
            """#),
        Refusal(
            #"{ model: { normalization: { scope: { grup: 2 } } } }"#,
            #"""
            run.json5:1:38: unknown key "grup" in model.normalization.scope; did you mean \#
            "group"? Known here: group
                { model: { normalization: { scope: { grup: 2 } } } }
                                                     ^
            """#),
        Refusal(
            #"{ model: { normalization: { scope: { } } } }"#,
            #"""
            run.json5:1:36: model.normalization.scope: expected { group: … }, found an object \#
            without group
                { model: { normalization: { scope: { } } } }
                                                   ^
            """#),
        Refusal(
            #"{ model: { normalization: { scope: 'globl' } } }"#,
            #"""
            run.json5:1:36: model.normalization.scope: unknown name "globl"; choose "global" \#
            or "shard"
                { model: { normalization: { scope: 'globl' } } }
                                                   ^
            """#),
        Refusal(
            #"{ model: { normalization: { scope: 3 } } }"#,
            #"""
            run.json5:1:36: model.normalization.scope: expected "global", "shard" or { group: \#
            … }, found 3
                { model: { normalization: { scope: 3 } } }
                                                   ^
            """#),
        Refusal(
            #"{ model: { activation: 'rleu' } }"#,
            #"""
            run.json5:1:24: model.activation: unknown name "rleu"; choose "relu", "tanh" or \#
            "sigmoid"
                { model: { activation: 'rleu' } }
                                       ^
            """#),
        Refusal(
            #"{ model: { activation: 3 } }"#,
            #"""
            run.json5:1:24: model.activation: expected "sigmoid", "tanh" or "relu", found 3
                { model: { activation: 3 } }
                                       ^
            """#),
        Refusal(
            #"{ model: 3 }"#,
            #"""
            run.json5:1:10: model: expected an object in braces, found 3
                { model: 3 }
                         ^
            """#),
        Refusal(
            #"[]"#,
            #"""
            run.json5:1:1: the configuration: expected an object in braces, found an empty list
                []
                ^
            """#),
        Refusal(
            #"{ seed: -1 }"#,
            #"""
            run.json5:1:9: seed: expected a whole number from 0 to 2^64 - 1, found -1
                { seed: -1 }
                        ^
            """#),
        Refusal(
            #"{ batch: { size: 0 } }"#,
            #"""
            run.json5:1:18: batch.size: expected a whole number of at least 1, found 0
                { batch: { size: 0 } }
                                 ^
            """#),
        Refusal(
            #"{ batch: { size: 1e999 } }"#,
            #"""
            run.json5:1:18: batch.size: expected a whole number from 1 to 1048576, found 1e999
                { batch: { size: 1e999 } }
                                 ^
            """#),
        Refusal(
            #"{ batch: { shards: 0 } }"#,
            #"""
            run.json5:1:20: batch.shards: expected "auto" or a whole number from 1 to 65536, \#
            found 0
                { batch: { shards: 0 } }
                                   ^
            """#),
        Refusal(
            #"{ optimizer: { learningRate: NaN } }"#,
            #"""
            run.json5:1:30: optimizer.learningRate: expected a number above 0, found NaN
                { optimizer: { learningRate: NaN } }
                                             ^
            """#),
        Refusal(
            #"{ optimizer: { momentum: 1 } }"#,
            #"""
            run.json5:1:26: optimizer.momentum: expected a number of at least 0 and below 1, \#
            found 1
                { optimizer: { momentum: 1 } }
                                         ^
            """#),
        Refusal(
            #"{ model: { hidden: [64, 0] } }"#,
            #"""
            run.json5:1:25: model.hidden[1]: expected a whole number of at least 1, found 0
                { model: { hidden: [64, 0] } }
                                        ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'step', milestones: [5, 5] } }"#,
            #"""
            run.json5:1:45: schedule.milestones[1]: expected a step after 5, found 5
                { schedule: { kind: 'step', milestones: [5, 5] } }
                                                            ^
            """#),
        Refusal(
            #"{ data: { name: 'mnist' } }"#,
            #"""
            run.json5:1:17: data.name: unknown name "mnist"; choose "idx", "cifar10", \#
            "cifar100", "two-features" or "synthetic-digits"
                { data: { name: 'mnist' } }
                                ^
            """#),
        Refusal(
            #"{ data: { augment: ['flop'] } }"#,
            #"""
            run.json5:1:21: data.augment[0]: unknown name "flop"; choose "flip", "padCrop" or "cutout"
                { data: { augment: ['flop'] } }
                                    ^
            """#),
        Refusal(
            #"{ data: { augment: 'flip' } }"#,
            #"""
            run.json5:1:20: data.augment: expected a list in brackets, found the string "flip"
                { data: { augment: 'flip' } }
                                   ^
            """#),
        Refusal(
            #"{ data: { augment: ['flip', 'padCrop'] } }"#,
            #"""
            run.json5:1:29: data.augment[1]: expected { kind: "padCrop", padding: … }, found \#
            the string "padCrop"
                { data: { augment: ['flip', 'padCrop'] } }
                                            ^
            """#),
        Refusal(
            #"{ data: { augment: [{ kind: 'crop' }] } }"#,
            #"""
            run.json5:1:29: data.augment[0].kind: unknown name "crop"; choose "padCrop", "flip" or "cutout"
                { data: { augment: [{ kind: 'crop' }] } }
                                            ^
            """#),
        Refusal(
            #"{ data: { augment: [3] } }"#,
            #"""
            run.json5:1:21: data.augment[0]: expected "padCrop", "flip", "cutout" or { kind: … }, found 3
                { data: { augment: [3] } }
                                    ^
            """#),
        Refusal(
            #"{ data: { augment: [{ padding: 4 }] } }"#,
            #"""
            run.json5:1:21: data.augment[0]: expected { kind: … }, found an object without kind
                { data: { augment: [{ padding: 4 }] } }
                                    ^
            """#),
        Refusal(
            #"{ data: { augment: [{ kind: 'padCrop', padding: -1 }] } }"#,
            #"""
            run.json5:1:49: data.augment[0].padding: expected a whole number of at least 0, found -1
                { data: { augment: [{ kind: 'padCrop', padding: -1 }] } }
                                                                ^
            """#),
        Refusal(
            #"{ data: { augment: [{ kind: 'cutout', size: 0 }] } }"#,
            #"""
            run.json5:1:45: data.augment[0].size: expected a whole number of at least 1, found 0
                { data: { augment: [{ kind: 'cutout', size: 0 }] } }
                                                            ^
            """#),
        Refusal(
            #"{ data: { augment: [{ kind: 'cutout', padding: 2 }] } }"#,
            #"""
            run.json5:1:39: unknown key "padding" in data.augment[0]; did you mean "kind"? Known here: \#
            kind, size
                { data: { augment: [{ kind: 'cutout', padding: 2 }] } }
                                                      ^
            """#),
        Refusal(
            #"{ data: { augment: [{ kind: 'flip', size: 2 }] } }"#,
            #"""
            run.json5:1:37: unknown key "size" in data.augment[0]; did you mean "kind"? Known here: kind
                { data: { augment: [{ kind: 'flip', size: 2 }] } }
                                                    ^
            """#),
        Refusal(
            #"{ data: { name: 'cifar10' } }"#,
            #"""
            run.json5:1:17: data.name "cifar10" needs data.directory: set it to the folder that holds \#
            data_batch_1.bin and its siblings, or cifar-10-binary.tar.gz
                { data: { name: 'cifar10' } }
                                ^
            """#),
        Refusal(
            #"{ data: { scaling: { mean: [1], std: [0] } } }"#,
            #"""
            run.json5:1:39: data.scaling.std[0]: expected a number above 0, found 0
                { data: { scaling: { mean: [1], std: [0] } } }
                                                      ^
            """#),
        Refusal(
            #"{ batch: { size: '60' } }"#,
            #"""
            run.json5:1:18: batch.size: expected a whole number of at least 1, found the \#
            string "60"
                { batch: { size: '60' } }
                                 ^
            """#),
        Refusal(
            #"{ batch: { size: 2.5 } }"#,
            #"""
            run.json5:1:18: batch.size: expected a whole number of at least 1, found 2.5
                { batch: { size: 2.5 } }
                                 ^
            """#),
        Refusal(
            #"{ batch: { size: -60 } }"#,
            #"""
            run.json5:1:18: batch.size: expected a whole number of at least 1, found -60
                { batch: { size: -60 } }
                                 ^
            """#),
        Refusal(
            #"{ seed: 18446744073709551616 }"#,
            #"""
            run.json5:1:9: seed: expected a whole number from 0 to 2^64 - 1, found \#
            18446744073709551616
                { seed: 18446744073709551616 }
                        ^
            """#),
        Refusal(
            #"{ data: { shuffle: 1 } }"#,
            #"""
            run.json5:1:20: data.shuffle: expected true or false, found 1
                { data: { shuffle: 1 } }
                                   ^
            """#),
        Refusal(
            #"{ model: { hidden: 128 } }"#,
            #"""
            run.json5:1:20: model.hidden: expected a list in brackets, found 128
                { model: { hidden: 128 } }
                                   ^
            """#),
        Refusal(
            #"{ model: { hidden: null, hidden2: 1 } }"#,
            #"""
            run.json5:1:26: unknown key "hidden2" in model; did you mean "hidden"? Known \#
            here: hidden, name, stem, placement, shortcut, dropout, activation, \#
            normalization, initialization, zeroInitialBlocks
                { model: { hidden: null, hidden2: 1 } }
                                         ^
            """#),
        Refusal(
            #"{ model: { normalization: { momentum: 0 } } }"#,
            #"""
            run.json5:1:39: model.normalization.momentum: expected a number above 0 and at \#
            most 1, or "cumulative", found 0
                { model: { normalization: { momentum: 0 } } }
                                                      ^
            """#),
        Refusal(
            #"{ model: { normalization: { epsilon: -1e-5 } } }"#,
            #"""
            run.json5:1:38: model.normalization.epsilon: expected a number of at least 0, \#
            found -1e-5
                { model: { normalization: { epsilon: -1e-5 } } }
                                                     ^
            """#),
        Refusal(
            #"{ optimizer: { learningRate: 0 } }"#,
            #"""
            run.json5:1:30: optimizer.learningRate: expected a number above 0, found 0
                { optimizer: { learningRate: 0 } }
                                             ^
            """#),
        Refusal(
            #"{ optimizer: { learningRate: Infinity } }"#,
            #"""
            run.json5:1:30: optimizer.learningRate: expected a number above 0, found Infinity
                { optimizer: { learningRate: Infinity } }
                                             ^
            """#),
        Refusal(
            #"{ steps: 0 }"#,
            #"""
            run.json5:1:10: steps: expected a whole number of at least 1, found 0
                { steps: 0 }
                         ^
            """#),
        Refusal(
            #"{ epochs: -1 }"#,
            #"""
            run.json5:1:11: epochs: expected a whole number of at least 1, found -1
                { epochs: -1 }
                          ^
            """#),
        Refusal(
            #"{ freeze: [1] }"#,
            #"""
            run.json5:1:12: freeze[0]: expected a name such as "layers.0", in quotes, found 1
                { freeze: [1] }
                           ^
            """#),
        Refusal(
            #"{ evaluate: { everySteps: 0 } }"#,
            #"""
            run.json5:1:27: evaluate.everySteps: expected a whole number of at least 1, found 0
                { evaluate: { everySteps: 0 } }
                                          ^
            """#),
        Refusal(
            #"{ collectives: 'ring' }"#,
            #"""
            run.json5:1:16: collectives: unknown name "ring"; choose "tree" or "mpi"
                { collectives: 'ring' }
                               ^
            """#),
        Refusal(
            #"{ data: { directory: 7 } }"#,
            #"""
            run.json5:1:22: data.directory: expected the path of a folder, in quotes, found 7
                { data: { directory: 7 } }
                                     ^
            """#),
        Refusal(
            #"{ data: { samples: 0 } }"#,
            #"""
            run.json5:1:20: data.samples: expected a whole number of at least 1, found 0
                { data: { samples: 0 } }
                                   ^
            """#),
        Refusal(
            #"{ 'model.name': 'mlp' }"#,
            #"""
            run.json5:1:3: unknown key "model.name"; did you mean "model: { name: … }"? Known \#
            here: model, evaluate, data, schedule, freeze, collectives, seed, loss, optimizer, \#
            steps, epochs, probes, batch, checkpoint, watch, tensorboard
                { 'model.name': 'mlp' }
                  ^
            """#),
        Refusal(
            #"{ model: { name: 'lenett' } }"#,
            #"""
            run.json5:1:18: model.name: unknown name "lenett"; choose "lenet", \#
            "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet18", "resnet34", \#
            "resnet50", "resnet110", "mlp", "vgg11" or "mnist-cnn"
                { model: { name: 'lenett' } }
                                 ^
            """#),
        Refusal(
            #"{ data: { limit: 0 } }"#,
            #"""
            run.json5:1:18: data.limit: expected a whole number of at least 1, found 0
                { data: { limit: 0 } }
                                 ^
            """#),
    ]
}
