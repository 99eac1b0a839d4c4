"""Adam in one operation for each variable, where Keras's own formula takes a dozen passes over the weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, its step taken by TensorFlow's kernel of the same formula (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, section 2).

    Its variables are those of Keras's Adam in the same order, so checkpoints hold for both.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        dtype = variable.dtype
        place = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, dtype)
        # As Keras does it: a Python number becomes a float32 before it is one of the variable's dtype.
        first, second = (tf.pow(keras.ops.cast(beta, dtype.name), step) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[place].value.handle, v=self._velocities[place].value.handle,
            beta1_power=first, beta2_power=second, lr=tf.cast(learning_rate, dtype),
            beta1=tf.constant(self.beta_1, dtype), beta2=tf.constant(self.beta_2, dtype), epsilon=tf.constant(self.epsilon, dtype), grad=tf.cast(gradient, dtype),
        )  # fmt: skip
