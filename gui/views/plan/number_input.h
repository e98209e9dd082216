#pragma once
// A number with a slider and a text, over a logarithmic range; where it may be left out, a box before it says so. The
// text takes more than the slider reaches, and units: "1.5T", "250K".
//
//   auto* tokens = new NumberInput({.low = 1e9, .high = 1e14, .unit = "", .absent = ""});
//   connect(tokens, &NumberInput::changed, ...);    // value 0: left out

#include <QWidget>
#include <optional>

class QCheckBox;
class QLineEdit;
class QSlider;

namespace shardscope::gui {

struct NumberRange {
  double low = 1, high = 1000;  ///< of the slider
  bool whole = false;
  const char* unit = "";    ///< behind the text: "days"
  const char* absent = "";  ///< what 0 means, "none"; empty: there must be a value
  double usual = 0;         ///< what it becomes when it is no longer left out
};

class NumberInput : public QWidget {
  Q_OBJECT

 public:
  explicit NumberInput(const NumberRange& range, QWidget* parent = nullptr);
  double value() const { return value_; }
  void set_value(double value);        ///< no signal
  void set_name(const QString& name);  ///< of its parts, for screen readers
  QSlider* slider() const { return slider_; }
  QLineEdit* text() const { return text_; }
  QCheckBox* box() const { return box_; }  ///< null: there must be a value

 Q_SIGNALS:
  void changed(double value, int gesture);  ///< one gesture is one drag of the slider

 private:
  void show_value();
  int step_of(double value) const;  ///< of the slider
  void take_slider();
  void take_text();
  void take_box(bool present);

  NumberRange range_;
  double value_ = 0;
  int gesture_ = 0;
  QCheckBox* box_ = nullptr;
  QSlider* slider_ = nullptr;
  QLineEdit* text_ = nullptr;
};

/// A number of its own for each gesture of the user; never 0.
int next_gesture();

/// "1.5T", "250K", "30": K, M, B or G, T; nothing if it is none, or not above 0.
std::optional<double> parse_number(const QString& text);
/// With at most four digits: "1.5T", "250K", "30".
QString format_number(double value, bool whole);

}  // namespace shardscope::gui
