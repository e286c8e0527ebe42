#include "little_language.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

namespace qcqa::examples {
namespace {

using Word = std::string_view;

constexpr std::array<Word, 8> kNames{"Alex", "Robin", "Sam", "Kim", "Noa", "Lee", "Max", "Jo"};
constexpr std::array<Word, 8> kThings{"kite", "drum", "ball", "bell", "book", "lamp", "cup", "hat"};
constexpr std::array<Word, 5> kColours{"red", "blue", "green", "black", "white"};
constexpr std::array<Word, 5> kPlaces{"lake", "hill", "barn", "mill", "wood"};
constexpr std::array<Word, 4> kAnimals{"birds", "cats", "frogs", "bees"};
constexpr std::array<Word, 12> kSounds{"la", "mo", "ti", "ra", "su", "ne", "ko", "bi", "fa", "du", "ze", "pu"};
constexpr std::array<Word, 10> kNumbers{"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
constexpr std::array<Word, 3> kOpening{" (", " [", " {"};
constexpr std::array<Word, 3> kClosing{" )", " ]", " }"};

// Stories end after this many words, which keeps nearly all of them within 128 tokens.
constexpr std::ptrdiff_t kEnoughWords = 62;

struct Person {
  Word name;
  bool girl;
  Word place;  // empty until told

  [[nodiscard]] Word subject() const { return girl ? "She" : "He"; }
  [[nodiscard]] Word object() const { return girl ? "her" : "him"; }
};

struct Thing {
  Word name;
  Word colour;
  std::size_t owner;
};

std::string capitalised(Word word) {
  std::string text(word);
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

/// One story being told: the state of its small world, and the text so far.
class Story {
 public:
  explicit Story(SeededRandom& random) : random_(random) {}

  std::string tell() {
    introduce();
    while (words() < kEnoughWords) happen();
    add("The end.");
    return text_;
  }

 private:
  void add(auto&&... parts) {
    if (!text_.empty()) text_ += ' ';
    ((text_ += parts), ...);
  }

  [[nodiscard]] std::ptrdiff_t words() const { return std::ranges::count(text_, ' ') + 1; }

  Person& anyone() { return people_[random_.below(people_.size())]; }

  std::size_t someone_but(std::size_t person) {
    const std::size_t draw = random_.below(people_.size() - 1);
    return draw < person ? draw : draw + 1;
  }

  void introduce() {
    const std::vector<Word> names = random_.sample(kNames, random_.between(2, 3));
    const std::vector<Word> things = random_.sample(kThings, names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      people_.push_back({names[i], random_.below(2) == 0, {}});
      things_.push_back({things[i], random_.pick(kColours), i});
      add(names[i], people_[i].girl ? " is a girl." : " is a boy.");
    }
    for (const Thing& thing : things_) {
      add(people_[thing.owner].name, " has a ", thing.colour, " ", thing.name, ".");
    }
  }

  void happen() {
    switch (random_.below(10)) {
      case 0:
      case 1:
        give();
        break;
      case 2:
        walk();
        break;
      case 3:
      case 4:
      case 5:
        ask();
        break;
      case 6:
        sing();
        break;
      case 7:
        decode();
        break;
      case 8:
        count_animals();
        break;
      default:
        build();
        break;
    }
  }

  // Two pronouns, each to agree with a person who may have been introduced long before.
  void give() {
    Thing& thing = things_[random_.below(things_.size())];
    const Person& giver = people_[thing.owner];
    thing.owner = someone_but(thing.owner);
    const Person& taker = people_[thing.owner];
    add(giver.name, " gives the ", thing.name, " to ", taker.name, ".");
    add(taker.subject(), " thanks ", giver.object(), ".");
  }

  void walk() {
    Person& person = anyone();
    person.place = random_.pick(kPlaces);
    add(person.name, " goes to the ", person.place, ".");
  }

  void ask() {
    const Thing& thing = things_[random_.below(things_.size())];
    const Person& owner = people_[thing.owner];
    const Person& person = anyone();
    switch (random_.below(4)) {
      case 0:
        add("Who has the ", thing.name, "? ", owner.name, " has it.");
        break;
      case 1:
        add("What colour is the ", thing.name, "? ", capitalised(thing.colour), ".");
        break;
      case 2:
        if (person.place.empty()) {
          add("Is ", person.name, " a boy or a girl? A ", person.girl ? "girl." : "boy.");
        } else {
          add("Where is ", person.name, "? At the ", person.place, ".");
        }
        break;
      default:
        add(people_[someone_but(thing.owner)].name, " asks, \"Who has the ", thing.name, "?\" ", owner.name,
            " says, \"I do.\"");
    }
  }

  // Said again (an induction head's work), or backwards (each word looked up by its place).
  void sing() {
    const std::vector<Word> song = random_.sample(kSounds, random_.between(4, 7));
    const std::size_t singer = random_.below(people_.size());
    const std::size_t other = someone_but(singer);
    add(people_[singer].name, " sings:", line(song), ".");
    if (random_.below(4) == 0) {
      add(people_[other].name, " sings back:", line({song.rbegin(), song.rend()}), ".");
    } else {
      add(people_[other].name, " sings too:", line(song), ".");
    }
  }

  // A dictionary that holds for one story only.
  void decode() {
    const std::size_t size = random_.between(2, 3);
    const std::vector<Word> keys = random_.sample(kSounds, size);
    const std::vector<Word> meanings = random_.sample(kThings, size);
    add("In code");
    for (std::size_t i = 0; i < size; ++i) {
      text_.append(i == 0 ? " " : ", ").append(keys[i]).append(" is ").append(meanings[i]);
    }
    text_ += '.';
    std::vector<Word> message;
    std::vector<Word> meaning;
    for (std::size_t n = random_.between(3, 5); n > 0; --n) {
      const std::size_t i = random_.below(size);
      message.push_back(keys[i]);
      meaning.push_back(meanings[i]);
    }
    add("So", line(message), " means", line(meaning), ".");
  }

  void count_animals() {
    const Person& person = anyone();
    const std::size_t first = random_.between(1, 4);
    const std::size_t more = random_.between(1, 4);
    const Word animal = random_.pick(kAnimals);
    add(person.name, " sees ", kNumbers[first], " ", animal, ".");
    add(capitalised(kNumbers[more - 1]), " more come.");
    add(person.subject(), " counts:");
    for (std::size_t i = 0; i < first + 1 + more; ++i) text_.append(" ").append(kNumbers[i]);
    add(animal, ".");
  }

  // Brackets of three kinds, closed in order.
  void build() {
    add(anyone().name, " builds:");
    std::vector<std::size_t> open;
    for (std::size_t left = random_.between(3, 5); left > 0 || !open.empty();) {
      if (left > 0 && (open.empty() || random_.below(3) != 0)) {
        open.push_back(random_.below(kOpening.size()));
        text_ += kOpening[open.back()];
        --left;
      } else {
        text_ += kClosing[open.back()];
        open.pop_back();
      }
    }
    text_ += '.';
  }

  static std::string line(const std::vector<Word>& words) {
    std::string text;
    for (const Word word : words) text.append(" ").append(word);
    return text;
  }

  SeededRandom& random_;
  std::string text_;
  std::vector<Person> people_;
  std::vector<Thing> things_;
};

}  // namespace

std::string LittleLanguage::next_story() { return Story(random_).tell(); }

}  // namespace qcqa::examples
