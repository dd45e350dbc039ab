extension Refusal {
    /// Texts that are not JSON5.
    static let syntax: [Refusal] = [
        Refusal(
            #"{\#n  seed: 1\#n  batch: 2\#n}"#,
            #"""
            run.json5:3:3: expected "," or "}", found "b"
                  batch: 2
                  ^
            """#),
        Refusal(
            #"{a: 'x\#n'}"#,
            #"""
            run.json5:1:5: this string has no end: close it with '
                {a: 'x
                    ^
            """#),
        Refusal(
            #"{ /* a }"#,
            #"""
            run.json5:1:3: this comment has no end: close it with */
                { /* a }
                  ^
            """#),
        Refusal(
            #"{ seed: 'a\q\1' }"#,
            #"""
            run.json5:1:13: JSON5 has no such escape sequence: use \n \t \\ \" \' \xHH \uHHHH \#
            (or a pair of these), or write \\ for a backslash
                { seed: 'a\q\1' }
                            ^
            """#),
        Refusal(
            #"{ seed: 012 }"#,
            #"""
            run.json5:1:9: this is no JSON5 number: write it like 60, 0.5, 1e-5 or 0xFF, text \#
            in quotes
                { seed: 012 }
                        ^
            """#),
        Refusal(
            #"{ seed: bare }"#,
            #"""
            run.json5:1:9: expected a value (strings stand in quotes), found "bare"
                { seed: bare }
                        ^
            """#),
        Refusal(
            #"{ seed: "#,
            #"""
            run.json5:1:9: expected a value, found the end of the file
                { seed: 
                        ^
            """#),
        Refusal(
            #"{ seed: \#u{7} }"#,
            #"""
            run.json5:1:9: expected a value, found U+0007
                { seed: � }
                        ^
            """#),
        Refusal(
            #"{ seed: " }"#,
            #"""
            run.json5:1:9: this string has no end: close it with "
                { seed: " }
                        ^
            """#),
        Refusal(
            #"{ seed: 1 } "x"#,
            #"""
            run.json5:1:13: expected the end of the file, found '"'
                { seed: 1 } "x
                            ^
            """#),
        Refusal(
            #"{ seed 1 }"#,
            #"""
            run.json5:1:8: expected ":" after the key "seed", found "1"
                { seed 1 }
                       ^
            """#),
        Refusal(
            #"{ "a\#u{1b}[2J": 1 }"#,
            #"""
            run.json5:1:3: unknown key "a�[2J"; did you mean "seed"? Known here: seed, model, \#
            data, batch, loss, steps, watch, freeze, epochs, probes, evaluate, schedule, optimizer, \#
            checkpoint, tensorboard, collectives
                { "a�[2J": 1 }
                  ^
            """#),
        Refusal(
            #"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["#,
            #"""
            run.json5:1:65: more than 64 lists and objects inside each other: remove some
                [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
                                                                                ^
            """#),
        Refusal(
            #"{ seed: 1,\#n seed: 2 }"#,
            #"""
            run.json5:2:2: the key "seed" stands here for the second time (first in line 1): \#
            remove one of the two
                 seed: 2 }
                 ^
            """#),
        Refusal(
            #"{ list: [1 2] }"#,
            #"""
            run.json5:1:12: expected "," or "]", found "2"
                { list: [1 2] }
                           ^
            """#),
        Refusal(
            #"{ model: }"#,
            #"""
            run.json5:1:10: expected a value, found "}"
                { model: }
                         ^
            """#),
        Refusal(
            #"{ a-b: 1 }"#,
            #"""
            run.json5:1:4: expected ":" after the key "a", found "-"
                { a-b: 1 }
                   ^
            """#),
        Refusal(
            #"{ seed: 5eV }"#,
            #"""
            run.json5:1:9: this is no JSON5 number: write it like 60, 0.5, 1e-5 or 0xFF, text \#
            in quotes
                { seed: 5eV }
                        ^
            """#),
        Refusal(
            #"#"#,
            #"""
            run.json5:1:1: expected a value, found "#"
                #
                ^
            """#),
        Refusal(
            #""#,
            #"""
            run.json5:1:1: expected a value, found the end of the file
                
                ^
            """#),
        Refusal(
            #"{ \x: 1 }"#,
            #"""
            run.json5:1:3: JSON5 has no such escape sequence: use \n \t \\ \" \' \xHH \uHHHH \#
            (or a pair of these), or write \\ for a backslash
                { \x: 1 }
                  ^
            """#),
        Refusal(
            #"{ seed: 1, 'a\uD800': 2 }"#,
            #"""
            run.json5:1:14: JSON5 has no such escape sequence: use \n \t \\ \" \' \xHH \uHHHH \#
            (or a pair of these), or write \\ for a backslash
                { seed: 1, 'a\uD800': 2 }
                             ^
            """#),
    ]

    /// Values that do not go together, each of which could stand alone.
    static let relations: [Refusal] = [
        Refusal(
            #"{ schedule: { kind: 'step' } }"#,
            #"""
            run.json5:1:21: schedule.kind "step" needs schedule.milestones: set it to a list \#
            of steps like [10000, 20000]
                { schedule: { kind: 'step' } }
                                    ^
            """#),
        Refusal(
            #"{ schedule: { factor: 0.5 } }"#,
            #"""
            run.json5:1:23: schedule.factor has no effect here: remove it, or set \#
            schedule.kind to "step"
                { schedule: { factor: 0.5 } }
                                      ^
            """#),
        Refusal(
            #"{ data: { name: 'idx' } }"#,
            #"""
            run.json5:1:17: data.name "idx" needs data.directory: set it to the folder that \#
            holds train-images-idx3-ubyte and its siblings
                { data: { name: 'idx' } }
                                ^
            """#),
        Refusal(
            #"{ data: { name: 'idx', directory: '/a', samples: 5 } }"#,
            #"""
            run.json5:1:50: data.samples has no effect here: remove it, or set data.name to \#
            "synthetic-digits" or "two-features"
                { data: { name: 'idx', directory: '/a', samples: 5 } }
                                                                 ^
            """#),
        Refusal(
            #"{ data: { augment: ['flip'], scaling: 'standardizeFeatures' } }"#,
            #"""
            run.json5:1:39: data.scaling "standardizeFeatures" scales every pixel by itself, and \#
            data.augment moves pixels: set data.scaling to "standardize", or data.augment to []
                { data: { augment: ['flip'], scaling: 'standardizeFeatures' } }
                                                      ^
            """#),
        Refusal(
            #"{ data: { augment: ['flip'], scaling: 'zca' } }"#,
            #"""
            run.json5:1:39: data.scaling "zca" scales every pixel by itself, and data.augment moves \#
            pixels: set data.scaling to "standardize", or data.augment to []
                { data: { augment: ['flip'], scaling: 'zca' } }
                                                      ^
            """#),
        Refusal(
            #"{ model: { name: 'lenet' }, data: { scaling: 'pca' } }"#,
            #"""
            run.json5:1:46: data.scaling "pca" turns pixels into components, and lenet convolves \#
            pixels: set data.scaling to "zca", or model.name to "mlp"
                { model: { name: 'lenet' }, data: { scaling: 'pca' } }
                                                             ^
            """#),
        Refusal(
            #"{ data: { scaling: { whiten: 'zac', epsilon: 1 } } }"#,
            #"""
            run.json5:1:30: data.scaling.whiten: unknown name "zac"; choose "zca" or "pca"
                { data: { scaling: { whiten: 'zac', epsilon: 1 } } }
                                             ^
            """#),
        Refusal(
            #"{ data: { testShift: { brightness: 2, contrast: 1 } } }"#,
            #"""
            run.json5:1:36: data.testShift.brightness: expected a number from -1 to 1, found 2
                { data: { testShift: { brightness: 2, contrast: 1 } } }
                                                   ^
            """#),
        Refusal(
            #"{ model: { normalization: { noise: { mean: 0, deviation: 1, spread: 0 }, kind: 'none' } } }"#,
            #"""
            run.json5:1:36: model.normalization.noise has no effect here: remove it, or set \#
            model.normalization.kind to "batch"
                { model: { normalization: { noise: { mean: 0, deviation: 1, spread: 0 }, kind: 'none' } } }
                                                   ^
            """#),
        Refusal(
            #"{ model: { normalization: { noise: { mean: 0, deviation: 0.5, spread: 0 } } } }"#,
            #"""
            run.json5:1:58: model.normalization.noise.deviation: expected a number of at least 1, found 0.5
                { model: { normalization: { noise: { mean: 0, deviation: 0.5, spread: 0 } } } }
                                                                         ^
            """#),
        Refusal(
            #"{ data: { name: 'two-features', scaling: 'standardize' } }"#,
            #"""
            run.json5:1:42: data.scaling "standardize" is for images, and two-features has \#
            none: set it to "standardizeFeatures", "unit" or "none"
                { data: { name: 'two-features', scaling: 'standardize' } }
                                                         ^
            """#),
        Refusal(
            #"{ data: { name: 'two-features', augment: ['flip'] } }"#,
            #"""
            run.json5:1:42: data.augment is for images, and two-features has none: remove it
                { data: { name: 'two-features', augment: ['flip'] } }
                                                         ^
            """#),
        Refusal(
            #"{ data: { name: 'two-features' }, model: { name: 'lenet' } }"#,
            #"""
            run.json5:1:50: model.name "lenet" is for images, and two-features has none: set it \#
            to "mlp"
                { data: { name: 'two-features' }, model: { name: 'lenet' } }
                                                                 ^
            """#),
        Refusal(
            #"{ probes: { path: { x: 'a[0]', y: 'a[1]' } } }"#,
            #"""
            run.json5:1:19: probes.path needs probes.everySteps: set it to the steps from one \#
            point to the next
                { probes: { path: { x: 'a[0]', y: 'a[1]' } } }
                                  ^
            """#),
        Refusal(
            #"{ probes: { path: { x: 'a[0', y: 'a[1]' }, everySteps: 1 } }"#,
            #"""
            run.json5:1:24: probes.path.x: expected a weight like "layers.0.weight[1,0]", or a \#
            sum or difference of several, found the string "a[0"
                { probes: { path: { x: 'a[0', y: 'a[1]' }, everySteps: 1 } }
                                       ^
            """#),
        Refusal(
            #"{ data: { scaling: { mean: [1, 2], std: [1] } } }"#,
            #"""
            run.json5:1:20: data.scaling: expected one mean and one std a channel, 1 of each, \#
            found 2 and 1
                { data: { scaling: { mean: [1, 2], std: [1] } } }
                                   ^
            """#),
        Refusal(
            #"{ data: { limit: 30000 } }"#,
            #"""
            run.json5:1:18: data.limit is 30000, but there are 20000 training samples: lower \#
            it, or raise data.samples
                { data: { limit: 30000 } }
                                 ^
            """#),
        Refusal(
            #"{ data: { validation: 20000 } }"#,
            #"""
            run.json5:1:23: holding out 20000 of 20000 training samples leaves none to train \#
            on: set data.validation to less than 20000
                { data: { validation: 20000 } }
                                      ^
            """#),
        Refusal(
            #"{ steps: 1, epochs: 2 }"#,
            #"""
            run.json5:1:21: both steps and epochs are set, and either alone gives the length \#
            of a run: remove one
                { steps: 1, epochs: 2 }
                                    ^
            """#),
        Refusal(
            #"{ steps: 1 }"#, set: [#"steps=1"#, #"epochs=2"#],
            #"""
            --set: both steps and epochs are set, and either alone gives the length of a run: \#
            remove one
                --set epochs=2
                             ^
            """#),
        Refusal(
            #"{ batch: { size: 4, shards: 8 } }"#,
            #"""
            run.json5:1:29: 8 shards are more than the 4 samples of a batch: set batch.shards \#
            to at most 4 or to "auto", or batch.size to at least 8
                { batch: { size: 4, shards: 8 } }
                                            ^
            """#),
        Refusal(
            #"{ batch: { shards: 8 } }"#, set: [#"batch.size=4"#],
            #"""
            --set: 8 shards are more than the 4 samples of a batch: set batch.shards to at \#
            most 4 or to "auto", or batch.size to at least 8
                --set batch.size=4
                                 ^
            """#),
        Refusal(
            #"{ model: { normalization: { scope: { group: 3 } } } }"#,
            #"""
            run.json5:1:36: groups of 3 shards do not divide the 4 shards of a batch evenly: \#
            set model.normalization.scope.group to a divisor of 4, or batch.shards to a \#
            multiple of 3
                { model: { normalization: { scope: { group: 3 } } } }
                                                   ^
            """#),
        Refusal(
            #"{ optimizer: { nesterov: true } }"#,
            #"""
            run.json5:1:26: Nesterov's momentum needs one: set optimizer.momentum (0.9, say) \#
            or nesterov to false
                { optimizer: { nesterov: true } }
                                         ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'cosine', minimum: 1 } }"#,
            #"""
            run.json5:1:40: the cosine ends at 1, above the learning rate 0.5 it starts from: \#
            lower schedule.minimum
                { schedule: { kind: 'cosine', minimum: 1 } }
                                                       ^
            """#),
    ]
}
